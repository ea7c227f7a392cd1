"""Every row of the case table: shapes, precision, purity, and gradients by differences."""

import numpy as np
import pytest
from gradient import assert_directional_gradient
from graph.cases import CASES, ELEMENT_TYPES, OTHERS, POOLS, Case
from tolerance import assert_close

from denet.graph.op.registry import op_types


def each_case(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


DIFFERENTIABLE = [case for case in CASES if case.training and case.op.gradient_inputs]


def forward(case: Case, inputs):
    return case.op.forward(case.run(), *inputs)


def backward(case: Case, inputs, gradients):
    """Run forward and backward, giving backward nothing but what the op declares to read."""
    outputs, saved = forward(case, inputs)
    read = [x if i in case.op.backward_inputs else None for i, x in enumerate(inputs)]
    kept = [y if i in case.op.backward_outputs else None for i, y in enumerate(outputs)]
    return case.op.backward(case.run(), tuple(read), tuple(kept), saved, tuple(gradients))


def test_every_op_has_a_row():
    assert {type(case.op).__name__ for case in CASES} == set(op_types())


def test_names_of_rows_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_case(CASES)
def test_shape_rule_and_dtype_are_those_of_the_arrays(case, dtype):
    outputs, saved = forward(case, case.inputs(dtype=dtype))
    types = list(case.op.infer(*case.types))
    arrays = list(outputs)
    if case.training:
        types += case.op.saved(*case.types)
        arrays += saved
    assert [array.shape for array in arrays] == [type_.shape for type_ in types]
    assert [array.dtype for array in arrays] == [
        ELEMENT_TYPES.get(type_.dtype, dtype) for type_ in types
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_case(DIFFERENTIABLE)
def test_gradients_have_shape_and_dtype_of_their_inputs(case, dtype):
    inputs = case.inputs(dtype=dtype)
    gradients = backward(case, inputs, case.output_gradients(dtype=dtype))
    assert len(gradients) == len(inputs)
    for index, (x, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        if index in case.op.gradient_inputs:
            assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
        else:
            assert gradient is None


@each_case(CASES)
def test_arguments_stay_untouched(case):
    inputs = case.inputs()
    for x in inputs:
        x.setflags(write=False)  # NumPy then raises on any attempt
    forward(case, inputs)
    if case in DIFFERENTIABLE:
        gradients = case.output_gradients()
        gradients[0].setflags(write=False)
        backward(case, inputs, gradients)


@each_case(DIFFERENTIABLE)
def test_gradient_equals_central_differences(case):
    inputs, run = case.inputs(), case.run()
    output_gradients = case.output_gradients()
    gradients = backward(case, inputs, output_gradients)

    def weighted_sum(*arrays):
        return (case.op.forward(run, *case.complete([*arrays]))[0][0] * output_gradients[0]).sum()

    for index in case.op.gradient_inputs[: len(inputs)]:
        assert_directional_gradient(weighted_sum, inputs, index, gradients[index])


@each_case(CASES)
def test_float32_is_near_float64(case):
    single, double = case.inputs(dtype=np.float32), case.inputs()
    for actual, expected in zip(forward(case, single)[0], forward(case, double)[0], strict=True):
        assert_close(actual, expected, "f32")
    if case not in DIFFERENTIABLE:
        return
    actual_gradients = backward(case, single, case.output_gradients(dtype=np.float32))
    expected_gradients = backward(case, double, case.output_gradients())
    for actual, expected in zip(actual_gradients, expected_gradients, strict=True):
        if expected is not None:
            assert_close(actual, expected, "f32")


@each_case(CASES)
def test_a_second_run_gives_the_same_bits(case):
    first, again = (forward(case, case.inputs(dtype=np.float32)) for _ in range(2))
    for before, after in zip((*first[0], *first[1]), (*again[0], *again[1]), strict=True):
        assert (before == after).all()


@each_case([*POOLS, *OTHERS])
def test_a_sample_does_not_depend_on_its_batch(case):
    run = case.run()
    run.sample_keys = run.sample_keys[-1:]
    outputs, _ = case.op.forward(run, *(x[-1:] for x in case.inputs()))
    assert (outputs[0] == forward(case, case.inputs())[0][0][-1:]).all()
