"""How far results of the same arithmetic in another order may lie apart: one table for all.

Errors are measured against the largest magnitude of the expected array, since a sum that nearly
cancels has no digits of its own. Loosening an entry needs a reason written beside it.
"""

TOLERANCE = {
    "f64": 1e-12,
    "f32": 2e-5,  # sums of some thousand products, in any order
    "network": 1e-4,  # float32, of many layers behind one another
    "bf16": 2e-2,  # 8 bits of mantissa, rounded at every store
    "differences": 1e-7,  # float64 central differences
}
