"""What each operation computes for one number, and its derivatives."""

# kind: (expression, derivative for each input); {0}, {1}, {2}: the inputs, {v}: the value, {g}: its gradient.
RULES = {
    "add": ("{0} + {1}", ("{g}", "{g}")),
    "sub": ("{0} - {1}", ("{g}", "-{g}")),
    "mul": ("{0} * {1}", ("{g} * {1}", "{g} * {0}")),
    "divide": ("{0} / {1}", ("{g} / {1}", "-{g} * {v} / {1}")),
    "neg": ("-{0}", ("-{g}",)),
    "square": ("{0} * {0}", ("F(2) * {g} * {0}",)),
    "abs": ("abs({0})", ("{g} if {0} > F(0) else (-{g} if {0} < F(0) else F(0))",)),
    # Of NaN they are NaN.
    "maximum": (
        "{1} if {1} > {0} or {1} != {1} else {0}",
        ("F(0) if {1} > {0} or {1} != {1} else {g}", "{g} if {1} > {0} or {1} != {1} else F(0)"),
    ),
    "minimum": (
        "{1} if {1} < {0} or {1} != {1} else {0}",
        ("F(0) if {1} < {0} or {1} != {1} else {g}", "{g} if {1} < {0} or {1} != {1} else F(0)"),
    ),
    "relu": ("F(0) if {0} <= F(0) else {0}", ("F(0) if {0} <= F(0) else {g}",)),
    "where": ("{1} if {0} else {2}", (None, "{g} if {0} else F(0)", "F(0) if {0} else {g}")),
    "identity": ("{0}", ("{g}",)),
    "stop": ("{0}", (None,)),
    "cast": ("F({0})", (None,)),
    "truth": ("{0} != F(0)", (None,)),
    "truncate": ("np.trunc({0})", (None,)),
    "zero": ("F(0)", (None,)),
    "one": ("F(1)", (None,)),
    "round": ("np.rint({0})", (None,)),
    "modulo": ("{0} - {1} * math.floor({0} / {1})", (None, None)),
    "greater": ("{0} > {1}", (None, None)),
    "greater_equal": ("{0} >= {1}", (None, None)),
    "less": ("{0} < {1}", (None, None)),
    "less_equal": ("{0} <= {1}", (None, None)),
    "equal": ("{0} == {1}", (None, None)),
    "not_equal": ("{0} != {1}", (None, None)),
    "both": ("{0} and {1}", (None, None)),
    "either": ("{0} or {1}", (None, None)),
    "no": ("not {0}", (None,)),
    # These take long to compute: the backward pass reads their values.
    "tanh": ("tanh({0})", ("{g} * (F(1) - {v} * {v})",)),
    "sigmoid": ("sigmoid({0})", ("{g} * {v} * (F(1) - {v})",)),
    "exp": ("exp({0})", ("{g} * {v}",)),
    "log": ("math.log({0})", ("{g} / {0}",)),
    "softplus": ("softplus({0})", ("{g} * sigmoid({0})",)),
    "sqrt": ("math.sqrt({0})", ("F(0.5) * {g} / {v}",)),
    "rsqrt": ("F(1) / math.sqrt({0})", ("F(-0.5) * {g} * {v} * {v} * {v}",)),
    "sin": ("math.sin({0})", ("{g} * math.cos({0})",)),
    "cos": ("math.cos({0})", ("-{g} * math.sin({0})",)),
}
KEPT = ("tanh", "sigmoid", "exp", "log", "softplus", "sqrt", "rsqrt", "sin", "cos")
LEARNT = ("carry", "product", "weight")  # leaves with a gradient; the input may have one too


def depends(node, known, learnt):
    """Whether a gradient goes through a node to a leaf of a kind in `learnt`; `known`: what was found before."""
    if node not in known:
        if node.kind in RULES:
            pairs = zip(node.inputs, RULES[node.kind][1], strict=True)
            known[node] = any(rule is not None and depends(lane.node, known, learnt) for lane, rule in pairs)
        else:
            known[node] = node.kind in learnt
    return known[node]
