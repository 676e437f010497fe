"""The program `genoslim`: heeds signals before anything of weight is imported."""

from __future__ import annotations

from .interrupts import leave, leave_at_once_on_signals


def main() -> None:
    """Run the command line on `sys.argv`; leave at once after an error or an interrupt."""
    leave_at_once_on_signals()
    from .cli import main as command_line

    try:
        command_line(prog_name="genoslim")
    except SystemExit as end:
        if isinstance(end.code, int) and end.code:
            leave(end.code)
        raise


if __name__ == "__main__":
    main()
