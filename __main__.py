"""The program `genoslim`: heeds signals before anything of weight is imported."""

from __future__ import annotations

from .interrupts import EXIT_CODES, leave, leave_at_once_on_signals


def main() -> None:
    """Run the command line on `sys.argv`; leave at once after an interrupt was cleaned up after."""
    leave_at_once_on_signals()
    from .cli import main as command_line

    try:
        command_line(prog_name="genoslim")
    except SystemExit as end:
        if end.code in EXIT_CODES:
            leave(end.code)
        raise


if __name__ == "__main__":
    main()
