"""Tables of boxes as people have them."""

from pathlib import Path

import numpy as np
import pytest
from annotated_files import save_image

from denet.dataset import BadDataError, open_dataset
from denet.dataset.boxes import csv
from denet.dataset.survey.classes import survey
from denet.errors import DataError, UsageError


def put(root, text, photos=("a.jpg", "b.jpg"), name="boxes.csv"):
    for photo in photos:
        save_image(root / photo)
    (root / name).write_text(text)


def opened(path, extension="csv", **settings):
    return open_dataset(path, f"{extension},crop=8", progress=False, **settings)


# a box from (2, 1) to (8, 6) of a cat in a.jpg, none or another in b.jpg
TABLES = {
    "corners": "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    "a.jpg,20,10,cat,2,1,8,6\nb.jpg,20,10,dog,1,1,3,3\n",
    "sides": "image,label,x,y,w,h\na.jpg,cat,2,1,6,5\nb.jpg,,,,,\n",
    "list": 'image_id,width,height,bbox,label\na,20,10,"[2.0, 1.0, 6.0, 5.0]",cat\n',
    "bare": "a.jpg,2,1,8,6,cat\nb.jpg,,,,,\n",
    "semicolons": "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
    "a.jpg;20;10;2;1;8;6;cat\n",
    "shares": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
    "a,x,cat,1,0.1,0.4,0.1,0.6\n",
    "shouting": '"IMAGE_PATH","X_MIN","Y_MIN","X_MAX","Y_MAX","Category"\n'
    '"a.jpg","2","1","8","6","cat"\n',
    "other words": "Picture;Kind;Left;Top;Right;Bottom\na.jpg;cat;2;1;8;6\n",
    "object": "photo,object,x0,y0,x1,y1\na.jpg,cat,2,1,8,6\n",
    "name before number": "class_id,class_name,image_id,x_min,y_min,x_max,y_max\n7,cat,a,2,1,8,6\n",
    "two widths": "image_id,width,height,source,x,y,w,h,label\na,20,10,s,2,1,6,5,cat\n",
    "centres": "image,label,x_center,y_center,width,height\na.jpg,cat,5,3.5,6,5\n",
    "makesense": "cat,2,1,6,5,a.jpg,20,10\n",
    "makesense with header": "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,"
    "image_width,image_height\ncat,2,1,6,5,a.jpg,20,10\n",
    "automl": "TRAIN,gs://bucket/a.jpg,cat,0.1,0.1,,,0.4,0.6,,\nTRAIN,gs://bucket/b.jpg,,,,,,,,,\n",
}
VIA = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,\
region_attributes\n"


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("folder", ["", "images/"])
def test_columns_are_known_by_their_names(tmp_path, form, folder):
    put(tmp_path, TABLES[form], (f"{folder}a.jpg", f"{folder}b.jpg"))
    found = opened(tmp_path)
    assert found.names[0] == str(tmp_path / f"{folder}a.jpg")
    assert found.class_labels[0] == "cat" and found.box_class[0] == 0
    np.testing.assert_allclose(found.boxes_px[0], [2, 1, 8, 6], atol=1e-5)
    assert found.boxes.counts.tolist()[1:] in ([], [0], [1])
    assert opened(tmp_path / "boxes.csv").image_ids == found.image_ids


def test_a_column_of_splits(tmp_path):
    put(tmp_path, "split,file,class,x1,y1,x2,y2\nTRAIN,a.jpg,cat,1,1,5,5\nTEST,b.jpg,cat,1,1,5,5\n")
    assert csv.split_names(str(tmp_path)) == ["TEST", "TRAIN"]
    assert opened(tmp_path, "csv,TEST").image_ids == ["b"]
    with pytest.raises(UsageError, match="such as csv,TEST"):
        opened(tmp_path)


def test_files_that_are_splits(tmp_path):
    head = "filename,class,xmin,ymin,xmax,ymax\n"
    put(tmp_path, f"{head}a.jpg,cat,1,1,5,5\n", ("train/a.jpg",), "train_labels.csv")
    put(tmp_path, f"{head}b.jpg,cat,1,1,5,5\n", ("test/b.jpg",), "test_labels.csv")
    (tmp_path / "prices.csv").write_text("day,price\n1,2\n")
    assert csv.split_names(str(tmp_path)) == ["test_labels", "train_labels"]
    assert opened(tmp_path, "csv,test_labels").names == [str(tmp_path / "test/b.jpg")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg,cat,nan,1,5,5", "line 3: x0 is 'nan', not a number"),
        ("a.jpg,cat,1e999,1,5,5", "line 3: x0 is '1e999'"),
        ("a.jpg,cat,1e30,1,5,5", "line 3: x0 is '1e30'"),
        ("a.jpg,cat,,1,5,5", "line 3: x0 is ''"),
        ("a.jpg,cat,1,1,5", "line 3: y1 is ''"),
        ("a.jpg,,1,1,5,5", "line 3: the class is missing"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, line, message):
    put(tmp_path, f"file,class,x1,y1,x2,y2\nb.jpg,cat,1,1,5,5\n{line}\n")
    with pytest.raises(BadDataError, match=message):
        opened(tmp_path)
    assert opened(tmp_path, on_bad_data="skip").image_ids == ["b"]


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "..", "", "x" * 9999])
def test_an_image_that_is_not_there(tmp_path, name):
    save_image(tmp_path / "secret.jpg")
    root = tmp_path / "set"
    put(root, f"file,class,x1,y1,x2,y2\na.jpg,cat,1,1,5,5\n{name},cat,1,1,5,5\n", ("a.jpg",))
    with pytest.raises(BadDataError, match="there|leads out of its folder"):
        opened(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class,x1,y1,x2,y2\n", "no lines of images"),
        ("file,class\na.jpg,cat\n", "its columns are file, class: there is no x0 .xmin or"),
        ("file,class,x1,y1,x2,y2\n" + "x" * (1 << 18), "a line of more than"),
        ('file,class,x1,y1,x2,y2\n"a.jpg,cat,1' + "\n" * 200_000, "cannot read the table|line"),
    ],
)
def test_a_table_that_is_wrong(tmp_path, text, message):
    put(tmp_path, text)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_header_of_other_words_is_told(tmp_path):
    put(tmp_path, "Bild;Art;Links;Top;Rechts;Bottom\na.jpg;cat;2;1;8;6\n", ["pictures/a.jpg"])
    told = "its columns are Bild, Art, Links, Top, Rechts, Bottom: there is no file .file.*x0 "
    for look in (csv.split_names, opened, survey, lambda path: opened(path, "auto")):
        with pytest.raises(DataError, match=f"no columns of boxes: .*boxes.csv: {told}"):
            look(str(tmp_path))


def test_a_table_of_classes_stays_beside_their_folders(tmp_path):
    put(tmp_path, "filename,label\na.jpg,cat\nb.jpg,dog\n", ["cat/a.jpg", "dog/b.jpg"])
    assert survey(str(tmp_path)).class_labels == ["cat", "dog"]


def test_without_class_all_boxes_are_of_one(tmp_path):
    """Heads of wheat have no column of it."""
    put(tmp_path, 'image_id,width,height,bbox,source\na,20,10,"[2.0, 1.0, 6.0, 5.0]",inra\n')
    found = opened(tmp_path)
    assert found.class_labels == ["object"] and found.boxes_px.tolist() == [[2, 1, 8, 6]]


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('{"name":"rect","x":2,"y":1,"width":6,"height":5}', (2, 1, 8, 6)),
        ('{"name":"polygon","all_points_x":[2,8,5],"all_points_y":[3,1,6]}', (2, 1, 8, 6)),
        ('{"name":"circle","cx":5,"cy":4,"r":3}', (2, 1, 8, 7)),
        ('{"name":"ellipse","cx":5,"cy":4,"rx":3,"ry":2}', (2, 2, 8, 6)),
        (f'{{"name":"ellipse","cx":5,"cy":4,"rx":3,"ry":2,"theta":{np.pi / 2}}}', (3, 1, 7, 7)),
        ('{"name":"point","cx":5,"cy":4}', None),
        ("{}", None),
    ],
)
def test_shapes_of_via(tmp_path, shape, box):
    def line(*cells):
        return ",".join('"{}"'.format(cell.replace('"', '""')) for cell in cells) + "\n"

    rect = '{"name":"rect","x":1,"y":1,"width":2,"height":2}'
    put(tmp_path, VIA + line("a.jpg", "9", "{}", "1", "0", shape, '{"kind":"cat"}')
        + line("b.jpg", "9", "{}", "1", "0", rect, '{"kind":{"dog":true}}'))  # fmt: skip
    found = opened(tmp_path)
    assert found.class_labels == (["cat", "dog"] if box else ["dog"])
    np.testing.assert_allclose(found.boxes_px, [*([box] if box else []), (1, 1, 3, 3)], atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        *('{"name":"rect","x":2}', '{"name":"rect","x":NaN,"y":1,"width":6,"height":5}', "{"),
        *('{"name":"polygon","all_points_x":[],"all_points_y":[1]}', "{" * 9999),
    ],
)
def test_shapes_of_via_that_are_wrong(tmp_path, shape):
    cell = shape.replace('"', '""')
    circle = '{""name"":""circle"",""cx"":5,""cy"":4,""r"":3}'
    lines = (f'{name},9,,1,0,"{each}","{{""kind"":""cat""}}"\n'
             for name, each in (("b.jpg", circle), ("a.jpg", cell)))  # fmt: skip
    put(tmp_path, VIA + "".join(lines))
    with pytest.raises(BadDataError, match="line 3: "):
        opened(tmp_path)


def test_a_table_that_is_no_text_is_told(tmp_path):
    save_image(tmp_path / "a.jpg")
    (tmp_path / "boxes.csv").write_bytes(
        b"filename,class,xmin,ymin,xmax,ymax\na.jpg,c\xe4t,1,1,5,5\n"
    )
    for extension in ("auto", "csv", "image"):
        with pytest.raises(DataError, match="not text in UTF-8: .*boxes.csv: save it as UTF-8"):
            opened(tmp_path, extension)
    with pytest.raises(DataError, match="^not text in UTF-8: .*boxes.csv"):
        survey(str(tmp_path))


def test_the_names_are_those_of_the_documentation():
    page = (Path(__file__).parents[3] / "docs/detection.md").read_text()
    for names in csv.COLUMNS.values():
        assert f"`{names}`" in page


def test_a_folder_without_table_is_told(tmp_path):
    save_image(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="no .csv of boxes"):
        csv.split_names(str(tmp_path))
