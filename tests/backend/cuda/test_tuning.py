"""Which variant of a convolution runs: tables, their files, the formula, and what measures them."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from backend.convolutions import ONE, convolution
from backend.cuda.host_device import HostDevice, unavailable
from backend.cuda.recording_device import RecordingDevice
from backend.kernel_run import KernelRun

from denet.backend.cuda import conv_exact, conv_tile, tune, tuning
from denet.backend.cuda.backend import CudaBackend
from denet.backend.cuda.tuning import Product, Tuning, Variant, by_formula, candidates, estimate
from denet.errors import DataError
from denet.graph.op.deconv import Deconv
from denet.layer.options import LayerOptions
from denet.model.model import Model
from denet.report.bench import tuned_text

DEVICE = RecordingDevice(90)
DEEP = Product("deep", 256, 512, 4608, 1, 256 * 512)  # a map of 16 x 16 of 512 channels, 3x3
EXACT = conv_exact.TILES
NAMES = [variant.name for variant in candidates(DEEP, EXACT, DEVICE)]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Return the folders of the user's tables and of those that come with the package."""
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(tuning, "cache_folder", lambda: own)
    monkeypatch.setattr(tuning, "SHIPPED", shipped)
    return own, shipped


def chosen(product=DEEP, device=DEVICE):
    return Tuning(device).choose(product, EXACT).name


def ship(folder, table, **changes):
    """Write a table as ``write`` does, somewhere else."""
    header = {"format": 1, "device": DEVICE.name, "capability": "9.0", "processors": 132}
    path = folder / tuning.file_name(DEVICE)
    path.write_text(json.dumps({**header, "convolutions": table, **changes}))
    return path


def test_parts_fill_the_device_once_twice_and_more():
    assert ["64x64", *(f"64x64 in {n} parts" for n in (5, 9, 17, 32))] == NAMES
    for variant in candidates(DEEP, EXACT, DEVICE):
        assert variant.length % 16 == 0
        assert variant.length * variant.parts >= 4608 > variant.length * (variant.parts - 1)


@pytest.mark.parametrize(
    ("product", "parts"),
    [
        (Product("shallow", 64, 64, 255, 1, 4096), 1),  # no two parts of 128
        (Product("large", 10**5, 64, 4608, 1, 10**7), 1),  # two parts are over 64 MiB
        (Product("layers", 64, 64, 4608, 30_000, 4096), 2),  # a grid has 65,535
        (Product("empty", 64, 64, 0, 1, 4096), 1),
    ],
)
def test_parts_are_bounded_by_depth_memory_and_grid(product, parts):
    assert max(v.parts for v in candidates(product, EXACT, DEVICE)) <= parts


def test_the_formula_takes_large_tiles_where_they_fill_the_device_and_parts_where_nothing_does():
    def name(*sizes, capability):
        device = RecordingDevice(capability)
        product = Product("", *sizes, sizes[0] * sizes[1])
        served = candidates(product, conv_tile.served(capability), device)
        return by_formula(product, served, device).name

    for sizes, warps, warpgroups in [
        ((32 * 128 * 128, 64, 9 * 64, 1), "128x64", "128x64 by warpgroups"),
        ((32 * 64 * 64, 128, 9 * 128, 1), "128x128", "256x128 by warpgroups"),
        ((64, 9 * 64, 128, 1), "32x32", "32x32"),
        ((16 * 16, 512, 9 * 512, 1), "128x128 in 16 parts", "128x64 by warpgroups in 15 parts"),
        ((1, 1000, 2048, 1), "64x64 in 16 parts", "128x64 by warpgroups in 16 parts"),
    ]:
        assert name(*sizes, capability=86) == name(*sizes, capability=100) == warps
        assert name(*sizes, capability=90) == warpgroups


def test_the_formula_counts_multiply_adds_of_the_fullest_processor_and_bytes_of_parts():
    (tile,) = EXACT
    product = Product("", 64 * 200, 64, 1600, 1, 10**6)  # 200 blocks on 132 processors: two
    whole = 2 * 64 * 64 * (1600 + 32) / 1e11
    assert estimate(product, Variant(tile, 1600, 1), DEVICE) == pytest.approx(whole)
    divided = 4 * 64 * 64 * (800 + 32) / 1e11 + 2e-6 + 16e6 / (132 * 2e10)
    assert estimate(product, Variant(tile, 800, 2), DEVICE) == pytest.approx(divided)


def test_the_users_table_goes_before_the_shipped_and_both_before_the_formula(folders):
    _, shipped = folders
    formula, first, second = chosen(), NAMES[1], NAMES[4]
    assert formula not in (first, second)
    ship(shipped, {"deep": first, "other": first})
    assert chosen() == first
    tuning.write(DEVICE, {"deep": second})
    assert chosen() == second
    other = Product("other", *list(vars(DEEP).values())[1:])
    assert chosen(other) == first
    assert Tuning(DEVICE, {}).choose(DEEP, EXACT).name == formula


def test_tables_of_other_devices_are_other_files(folders):
    tuning.write(DEVICE, {"deep": NAMES[1]})
    for capability, processors, name in [
        (80, 132, "nothing"),
        (90, 114, "nothing"),
        (90, 132, "x"),
    ]:
        other = RecordingDevice(capability)
        other.processors, other.name = processors, name
        assert not tuning.read(other)
    assert tuning.read(DEVICE) == {"deep": NAMES[1]}


def test_writing_keeps_what_was_measured_before_and_names_device_compiler_and_date(folders):
    tuning.write(DEVICE, {"b": "one", "a": "two"})
    path = tuning.write(DEVICE, {"b": "three"})
    content = json.loads(path.read_text())
    assert content["convolutions"] == {"a": "two", "b": "three"}
    assert (content["device"], content["compiler"]) == ("nothing", "none")
    assert content["date"][:2] == "20" and content["format"] == 1
    assert [each.name for each in path.parent.iterdir()] == ["nothing-9.0-132.json"]


def test_what_several_write_at_once_is_all_there(folders):
    keys = [str(number) for number in range(48)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: tuning.write(DEVICE, {key: "64x64"}), keys))
    assert tuning.read(DEVICE).keys() == set(keys)


def test_a_table_that_cannot_be_written_stays_as_it_was(folders, monkeypatch):
    path = tuning.write(DEVICE, {"deep": NAMES[1]})
    before = path.read_bytes()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tuning.json, "dump", full)
    with pytest.raises(DataError, match="No space left"):
        tuning.write(DEVICE, {"deep": NAMES[2]})
    assert path.read_bytes() == before and len([*path.parent.iterdir()]) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON, or damaged"),
        (b'{"format": 1', "not JSON, or damaged"),
        (b"\xff\xfe\0", "not JSON, or damaged"),
        (b"[" * 100_000, "not JSON, or damaged"),
        (b"[]", "not a table of format 1"),
        (b'{"format": 2}', "not a table of format 1"),
        ({"device": "another"}, "made for another GPU, whose device is 'another'"),
        ({"capability": "8.0"}, "made for another GPU, whose capability is '8.0'"),
        ({"processors": 1}, "made for another GPU, whose processors is 1"),
        ({"convolutions": []}, "convolutions: not names of variants by key"),
        ({"convolutions": {"deep": 3}}, "convolutions: not names of variants by key"),
    ],
)
def test_a_damaged_or_foreign_table_is_told_in_one_line_and_not_used(
    folders, caplog, content, reason
):
    own, _ = folders
    own.mkdir()
    formula = chosen()
    path = own / tuning.file_name(DEVICE)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        ship(own, {"deep": NAMES[1]}, **content)
    assert chosen() == formula
    (line,) = caplog.messages
    assert str(path) in line and reason in line and "\n" not in line
    assert "run model-bench --tune again, or delete it" in line
    tuning.write(DEVICE, {"deep": NAMES[1]})  # replaces it
    assert chosen() == NAMES[1]


def test_what_is_no_file_is_told_too(folders, caplog):
    own, _ = folders
    (own / tuning.file_name(DEVICE)).mkdir(parents=True)
    assert chosen() == Tuning(DEVICE, {}).choose(DEEP, EXACT).name
    assert "Is a directory" in caplog.messages[0]


def test_a_variant_that_is_not_there_is_told_and_the_formula_chooses(caplog):
    known = Tuning(DEVICE, {}).choose(DEEP, EXACT)
    assert Tuning(DEVICE, {"deep": "1x1 in 10 parts"}).choose(DEEP, EXACT) == known
    assert "deep: there is no variant '1x1 in 10 parts'" in caplog.messages[0]


def test_a_home_that_is_not_there_is_no_table(monkeypatch):
    monkeypatch.setattr(tuning, "cache_folder", lambda: None)
    assert tuning.read(DEVICE) == {}
    with pytest.raises(DataError, match="set XDG_CACHE_HOME"):
        tuning.write(DEVICE, {})


if not unavailable():
    NETWORK = "C.B[32,3] BN A C.B[32,3,2] BN A P.A R"

    def network():
        options = LayerOptions(border_mode="half")
        return Model.create(NETWORK, (3, 6, 6), ["a", "b", "c"], options)

    def test_the_fastest_by_the_clock_is_written_and_then_used(folders):
        """A thread takes a microsecond, whatever it does: parts cost, and gain nothing."""
        device = HostDevice()
        rows = tune.tune(device, network().graph(2), "train", "f32")
        assert [row["product"].split()[0] for row in rows] == [
            *["correlate", "by_weight"],  # nobody asks for the gradient of an image
            *["correlate", "adjoint", "by_weight"] * 2,
        ]
        assert rows[2]["product"] == (
            "correlate exact float float float 2 of 6x6x32 and 3x3x32, window 3x3 by 2x2 from 1,1"
        )
        table = tuning.read(device)
        for row in rows:
            assert table[row["product"]] == row["best"]
            assert row["best_seconds"] <= row["formula_seconds"]
        divided = rows[2]
        assert (divided["formula"], divided["best"]) == ("64x64 in 2 parts", "64x64")
        # and those that add 2 * 3 * 3 * 32 sums, look at them, and join statistics of 32 channels
        blocks = 1 + 4, 2 + 3 + 1 + 4
        seconds = divided["best_seconds"], divided["formula_seconds"]
        assert seconds == tuple(pytest.approx(256e-6 * count) for count in blocks)

    def test_a_tensor_core_variant_that_fails_is_left_out_and_told(folders, monkeypatch, caplog):
        tiles = [conv_tile.TILES[3], conv_tile.TILES[4]]
        monkeypatch.setattr(conv_tile, "TILES", tiles)

        class Failing(HostDevice):
            def launch(self, source, *arguments, **options):
                if dict(source.defines).get("TILE_ROWS") == 32:
                    raise RuntimeError("too many resources requested for launch")
                return super().launch(source, *arguments, **options)

        rows = tune.tune(Failing(), network().graph(2), "predict", "bf16")
        assert [row["best"] for row in rows] == ["64x64"] * 3
        assert {(row["formula"], row["formula_seconds"]) for row in rows} == {("32x32", None)}
        assert "        inf     512.0   inf%  correlate tensor" in tuned_text(rows)
        left_out = [line for line in caplog.messages if "32x32" in line]
        assert left_out and all("left out: too many resources" in line for line in left_out)

    @pytest.mark.parametrize("op", [Deconv, None])
    def test_a_kernel_runs_the_variant_of_the_table(op):
        device = HostDevice()
        case = convolution((1, 6, 5, 72), 80, (3, 3), 1, ONE, *[op] * bool(op))
        asked = Tuning(device, {})
        KernelRun(CudaBackend(device, asked), case, "f32")
        scratch = []
        for parts in (0, -1):
            table = {key: served[parts].name for key, (_, served) in asked.asked.items()}
            kernel = KernelRun(CudaBackend(device, Tuning(device, table)), case, "f32").kernel
            scratch.append(kernel.forward_scratch)
        _, served = next(iter(asked.asked.values()))
        assert scratch == [0, -(-4 * 6 * 5 * 80 * served[-1].parts // 256) * 256]

    def test_nothing_is_measured_whose_result_cannot_be_kept(folders):
        own, _ = folders
        own.write_text("a file where the folder should be")

        class Idle(HostDevice):
            def launch(self, *_arguments, **_options):
                raise AssertionError("nothing is to be launched")

        with pytest.raises(DataError, match="cannot write"):
            tune.tune(Idle(), network().graph(2), "predict", "f32")
