"""The page of the report, in jinja2."""

from __future__ import annotations

REPORT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>genoslim bench: {{ result.decision.summary }}</title>
<style>
  body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; max-width: 76rem;
         margin: 2rem auto; padding: 0 1.2rem; }
  h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
  .verdict { border-left: 6px solid #1b7837; background: #eef6ef; padding: .6rem 1rem; }
  .verdict.no { border-color: #b2402d; background: #fbefec; }
  .warn { border-left: 6px solid #c98a00; background: #fff7e0; padding: .5rem 1rem; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .82rem; }
  th, td { padding: .25rem .55rem; text-align: right; border-bottom: 1px solid #ddd; }
  th { vertical-align: bottom; background: #f5f5f5; font-weight: 600; }
  th:first-child, td:first-child { text-align: left; } td { white-space: nowrap; }
  td.chosen { background: #eef6ef; font-weight: 600; }
  img { max-width: 100%; } img.small { max-width: 34rem; display: block; }
  code { font-size: .85em; overflow-wrap: anywhere; }
  dt { font-weight: 600; margin-top: .5rem; } dd { margin-left: 1.2rem; }
  footer { margin-top: 2.5rem; color: #666; font-size: .85rem; }
</style>
</head>
<body>
{% macro table(header, rows, chosen=none) %}
<div class="wide"><table>
<tr>{% for name in header %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}
<tr>{% for cell in row %}
<td{% if header[loop.index0] == chosen %} class="chosen"{% endif %}>{{ cell }}</td>
{%- endfor %}</tr>
{% endfor %}
</table></div>
{% endmacro %}
{% set decision = result.decision %}
{% set data = result.data %}
<h1>What the speed costs</h1>
<p>{{ result.models | length }} model{{ "s" if result.models | length > 1 }},
{{ data.splits["test"] }} test rows; the baseline is {{ result.baseline.subject.name }}.</p>
<p class="verdict{{ "" if decision.passed else " no" }}"><b>Decision:</b>
{{ decision.summary }}.</p>
{% if restricted %}
<p class="warn"><b>Licence:</b> not for commercial use: {{ restricted | join("; ") }}.</p>
{% endif %}
<ul>
{% for model in result.models %}
<li><b>{{ model.subject.name }}</b> {{ decision.reasons[model.subject.name] }}.
{% for warning in model.warnings %}<br>Note: {{ warning }}.{% endfor %}</li>
{% endfor %}
</ul>

<h2>Latency and AUROC</h2>
<img alt="Batch-1 latency against test AUROC of each model"
src="data:image/png;base64,{{ picture }}">

<h2>Speed and cost</h2>
{{ table(speed[0], speed[1], decision.deploy) }}
<p>p50 to p99 are of single variants, from variant to logits (window, tokens, network);
the network alone is beside. The first call after loading is kept apart, and a
warm-up precedes the rest. The speed-up is the median, over {{ result.settings.rounds }} rounds in
which the models took turns, of the baseline's median time over the model's own. Windows per
second are of the network alone at batch {{ batches }};
variants/s with windows and tokens are over many variants at once. A p99 is printed
from {{ needed }} runs on, ten beyond it (MLPerf asks {{ "{:,}".format(mlperf) }} for a margin of
0.05 %). Peak memory is of a fresh process for each model
({{ result.baseline.measurement.memory.source }}), at the largest batch.</p>

<h2>Quality on the test split</h2>
{{ table(quality[0], quality[1], decision.deploy) }}
<p>Probabilities are calibrated, and the threshold chosen, on validation alone. Intervals are by
{{ result.baseline.quality.interval.method }}. Non-inferior at a margin of
{{ result.settings.margin }} means: the one-sided 95 % lower bound of the AUROC difference is
above &minus;{{ result.settings.margin }}; &ldquo;not shown&rdquo; is not proof of harm.
The margin must have been fixed before looking at these figures.
{% if result.settings.prevalence is none %}
PPV and NPV are left out: state a prevalence (--prevalence) that fits the use.
{% endif %}</p>
<p><b>Causality is not pathogenicity.</b> These models say how likely a variant has a label of the
data set, such as a causal effect on expression. That is no statement about disease: do not
turn the score into evidence for or against pathogenicity.</p>

<h2>Calibration</h2>
{{ table(["model", "temperature", "threshold", "both are"], calibration) }}
<img class="small" alt="Share of positives against mean probability, by bin"
src="data:image/png;base64,{{ reliability }}">
<p>Each point is a bin of about equally many test rows: the mean calibrated probability that was
said, and the share of positives that was seen.</p>

{% if groups %}
<h2>Subgroups: AUROC within each group</h2>
{{ table(groups.header, groups.rows) }}
{% if groups.skipped %}<p>Without both classes, so without AUROC:
{{ groups.skipped | join(", ") }}.</p>{% endif %}
{% endif %}

<h2>For the reader who must judge this (after TRIPOD+AI)</h2>
<dl>
<dt>Intended use</dt><dd>Ranking variants for research by the label of this data set, in windows of
{{ data.window_length }} bp on {{ data.assembly }}. Not a medical device; not for diagnosis.</dd>
<dt>Data and splits</dt><dd>{{ data.source }}, licence {{ data.licence }}; rows:
{% for name, rows in data.splits.items() %}{{ name }} {{ rows }}{{ ", " if not loop.last }}
{%- endfor %}; {{ data.test_positives }} of the test rows are positive.</dd>
<dt>Independence of the test data</dt><dd>
{{ (data.leakage or "No variant and no overlapping window is in two splits") ~ "." }}
{{ "Variants recur within the test split: intervals and tests draw variants, not rows."
   if data.recurring else "Each test row is a variant of its own." }}</dd>
<dt>Subgroups</dt><dd>{% if groups %}{{ groups.rows | length }} groups, above.
{% else %}The data set names no groups: performance within subgroups is unknown.{% endif %}</dd>
<dt>Uncertainty</dt><dd>95 % intervals on AUROC and on its difference to the baseline. Seeds of
training are not varied here: another fine-tuning run would differ by more than the interval says.
</dd>
<dt>Versions and hashes</dt><dd>Data <code>{{ data.fingerprint }}</code>
{% for model in result.models %}<br>{{ model.subject.name }}
<code>{{ model.subject.digest }}</code>{% endfor %}</dd>
<dt>Environment</dt><dd>{{ result.environment.processor }},
{{ result.environment.cores }} usable cores
({{ result.environment.features | join(", ") or "no known vector features" }}),
{{ "%.1f GiB" | format(result.environment.memory / 2**30) if result.environment.memory
   else "memory unknown" }},
{{ result.environment.system }}, Python {{ result.environment.python }}
{%- for name, version in result.environment.versions.items() %}, {{ name }} {{ version }}
{%- endfor %}; threads: {% for model in result.models %}{{ model.measurement.threads }}
{{- ", " if not loop.last }}{% endfor %};
ONNX Runtime providers that load: {{ result.environment.providers | join(", ") or "none" }}.</dd>
</dl>
<footer>genoslim {{ version }}; raw times and every figure are in bench.json.</footer>
</body>
</html>
"""
