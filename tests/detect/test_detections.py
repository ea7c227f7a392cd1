"""Tables of detections."""

import numpy as np
from evaluate.boxed import detections

from denet.detect.detections import joined


def test_nothing_found_is_a_table_of_the_same_columns():
    nothing = joined([])
    assert len(nothing) == 0 and list(nothing.rows()) == []
    assert [len(each) for each in nothing.by_image(3)] == [0, 0, 0]
    assert nothing.box.shape == (0, 4)
    columns = nothing.image, nothing.class_index, nothing.score, nothing.box
    assert [column.dtype for column in columns] == [np.int64, np.int32, np.float32, np.float32]


def test_tables_are_joined_in_their_order():
    one, two = detections([(1, 0, 0.5, (0, 0, 1, 1))]), detections([(0, 2, 0.25, (1, 2, 3, 4))])
    assert list(joined([one, two]).rows()) == [*one.rows(), *two.rows()]
    assert list(joined([one]).rows()) == list(one.rows())
