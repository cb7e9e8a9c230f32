"""Which labels the result of an expression can have, from those of the series that it selects.

Finds what Prometheus does not mind: a name or a label that does not exist selects or groups nothing, and operands whose
labels differ never match, so that an alert on them stays silent for ever.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import promql_parser as promql

from genai_metrics.catalog import SERVICE_LABEL, MetricSpec

Labels = frozenset[str] | None
"""Possible labels of a vector; None for a scalar."""

_SETS = ("and", "or", "unless")
# Per-second rates and such mean something of counters only.
_OF_COUNTERS = ("rate", "irate", "increase", "resets")
_COUNTERS = ("_total", "_bucket", "_count", "_sum")


class WrongLabelsError(Exception):
    """An expression names what does not exist, or matches what never matches."""


def series_labels(metric: MetricSpec, *, application: bool) -> dict[str, frozenset[str]]:
    """Return the series of a metric with their labels, as Prometheus stores them."""
    labels = {"job", "instance", *metric.label_names} | ({SERVICE_LABEL} if application else set())
    if metric.type != "histogram":
        return {metric.name: frozenset(labels)}
    suffixes = {"_bucket": {"le"}, "_count": set[str](), "_sum": set[str]()}
    return {metric.name + suffix: frozenset(labels | more) for suffix, more in suffixes.items()}


def result_labels(expression: object, known: Mapping[str, frozenset[str]]) -> Labels:
    """Return the labels of the result; raises ``WrongLabelsError``, ``known`` maps names of series to their labels."""
    return _labels(promql.parse(str(expression)), known)


def _labels(node: Any, known: Mapping[str, frozenset[str]]) -> Labels:
    match node:
        case promql.NumberLiteral() | promql.StringLiteral():
            return None
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return _labels(node.expr, known)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, known)
        case promql.VectorSelector():
            return _selected(node, known)
        case promql.AggregateExpr():
            return _aggregated(node, known)
        case promql.Call():
            return _called(node, known)
        case promql.BinaryExpr():
            return _combined(node, known)
    raise AssertionError(f"unforeseen part of an expression: {type(node)}")


def _need(labels: Sequence[str], there: frozenset[str], part: str) -> None:
    if missing := sorted(set(labels) - there):
        raise WrongLabelsError(f"{part}: no label {', '.join(missing)} among {', '.join(sorted(there)) or 'none'}")


def _selected(node: promql.VectorSelector, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    if node.name not in known:
        raise WrongLabelsError(f"no series is called {node.name}")
    matchers = node.matchers.matchers
    _need([matcher.name for matcher in matchers], known[node.name], node.name)
    for matcher in matchers:
        # Prometheus 3 writes the bounds of buckets as floating-point numbers.
        if matcher.name == "le" and matcher.value != "+Inf" and "." not in matcher.value:
            raise WrongLabelsError(f'{node.name}: le="{matcher.value}" is never scraped, but le="{matcher.value}.0"')
    return known[node.name]


def _aggregated(node: promql.AggregateExpr, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    labels = _labels(node.expr, known) or frozenset()
    operation = str(node.op)
    if node.modifier is None:
        result = frozenset[str]()
    else:
        _need(node.modifier.labels, labels, operation)
        given = frozenset(node.modifier.labels)
        result = given if node.modifier.type == promql.AggModifierType.By else labels - given
    if operation in ("topk", "bottomk", "limitk"):
        return labels
    return result | {node.param.val} if operation == "count_values" else result


def _called(node: promql.Call, known: Mapping[str, frozenset[str]]) -> Labels:
    name, arguments = node.func.name, node.args
    given = [_labels(argument, known) for argument in arguments]
    vectors = [labels for labels in given if labels is not None]
    match name:
        case "time" | "pi" | "scalar":
            return None
        case "vector":
            return frozenset()
        case "label_replace":
            if source := arguments[3].val:
                _need([source], vectors[0], name)
            return vectors[0] | {arguments[1].val}
        case "label_join":
            _need([source.val for source in arguments[3:]], vectors[0], name)
            return vectors[0] | {arguments[1].val}
        case "histogram_quantile":
            _need(["le"], vectors[0], name)
            return vectors[0] - {"le"}
        case "absent" | "absent_over_time":
            selector = getattr(arguments[0], "vector_selector", arguments[0])
            equal = [m.name for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal]
            return frozenset(equal)
    if name in _OF_COUNTERS:
        series = arguments[0].vector_selector.name
        if not series.removesuffix(":sum").endswith(_COUNTERS):
            raise WrongLabelsError(f"{name} of {series}, which is no counter")
    return vectors[0] if vectors else frozenset()


def _combined(node: promql.BinaryExpr, known: Mapping[str, frozenset[str]]) -> Labels:
    left, right = _labels(node.lhs, known), _labels(node.rhs, known)
    if left is None or right is None:
        return right if left is None else left
    operation, modifier = str(node.op), node.modifier
    matching = modifier.matching if modifier else None
    if matching is None:
        if operation == "or":  # what does not match is what it is for
            return left | right
        if left != right:
            raise WrongLabelsError(f"{operation}: labels differ in {', '.join(sorted(left ^ right))}")
        return left
    given = frozenset(matching.labels)
    on = matching.type == promql.LabelModifierType.Include
    for side in (left, right):
        if on:
            _need(sorted(given), side, f"on, of {operation}")
    if not on and left - given != right - given:
        differ = (left ^ right) - given
        raise WrongLabelsError(f"{operation}: labels that are not ignored differ in {', '.join(sorted(differ))}")
    if operation in _SETS:
        return left | right if operation == "or" else left
    copied = frozenset(modifier.group_labels or ())
    if modifier.card == promql.VectorMatchCardinality.ManyToOne:
        _need(sorted(copied), right, "group_left")
        return left | copied
    if modifier.card == promql.VectorMatchCardinality.OneToMany:
        _need(sorted(copied), left, "group_right")
        return right | copied
    return given if on else left - given
