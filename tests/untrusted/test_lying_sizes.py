"""Headers that declare far more voxels than the file holds: refused without asking for their memory."""

import gzip
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_series import series_geometry, write_series

from mixcl_auto.errors import DataError
from mixcl_auto.io.images import read_file, read_image
from mixcl_auto.io.nifti import decompress

SIDE = 30_000
"""27 thousand thousand million voxels: 54 TB."""
NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: {size}
space directions: (1,0,0) (0,1,0) (0,0,1)
kinds: domain domain domain
endian: little
encoding: {encoding}
space origin: (0,0,0)
{more}
"""
METAIMAGE = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = {compressed}
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = 1 1 1
DimSize = {size}
{more}ElementType = MET_SHORT
ElementDataFile = {file}
"""
SMALL = bytes(range(250)) + b"\0" * 4
"""Of 5 x 5 x 5 voxels, and a few bytes more."""


def nifti(size: tuple[int, int, int], datatype: int = 4) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, datatype, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header) + SMALL


def nrrd(size: str, encoding: str = "raw", more: str = "") -> bytes:
    text = NRRD.format(size=size, encoding=encoding, more=more)
    return (
        text.replace("\n\n", "\n").encode() + b"\n" + (gzip.compress(SMALL) if encoding == "gzip" else SMALL)
    )


def metaimage(size: str, *, file: str = "LOCAL", compressed: bool = False, more: str = "") -> bytes:
    voxels = zlib.compress(SMALL[:250]) if compressed else SMALL
    if compressed and not more:
        more = f"CompressedDataSize = {len(voxels)}\n"
    return METAIMAGE.format(size=size, file=file, compressed=compressed, more=more).encode() + voxels


HUGE = f"{SIDE} {SIDE} {SIDE}"
LARGE = "1000 1000 1500"
"""3 GB, which a machine might give."""
LYING = {
    "huge.nii": nifti((SIDE, SIDE, SIDE)),
    "huge.nii.gz": gzip.compress(nifti((SIDE, SIDE, SIDE))),
    "large.nii": nifti((1000, 1000, 1500)),
    "odd_type.nii": nifti((1000, 1000, 1500), datatype=1536),
    "huge.nrrd": nrrd(HUGE),
    "large.nrrd": nrrd(LARGE),
    "large_gzip.nrrd": nrrd(LARGE, "gzip"),
    "huge.mha": metaimage(HUGE),
    "large.mha": metaimage(LARGE),
    "large_compressed.mha": metaimage(LARGE, compressed=True),
    "negative.mha": metaimage("-5 5 5"),
    "length.mha": metaimage("5 5 5", compressed=True, more="CompressedDataSize = 4000000000\n"),
    "negative_length.mha": metaimage("5 5 5", compressed=True, more="CompressedDataSize = -1\n"),
}
READ_ALL = """
import resource, sys
from pathlib import Path
from mixcl_auto.errors import DataError
from mixcl_auto.io.images import read_file, read_geometry
read_file(Path("sound.nii"))
in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 300_000_000,) * 2)
for name in sys.argv[1:]:
    try:
        read_file(Path(name))
    except DataError as problem:
        print(str(problem).splitlines()[0])
    else:
        print(name, "was read")
"""


def test_lying_headers_are_refused_within_a_few_megabytes(tmp_path):
    (tmp_path / "sound.nii").write_bytes(nifti((5, 5, 5)))
    for name, content in LYING.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *LYING],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(LYING)
    for name, line in zip(LYING, lines, strict=True):
        assert line.startswith(f"{name}: "), line
        if name != "odd_type.nii":
            assert "truncated or damaged" in line, line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.nii", nifti((5, 5, 5))),
        ("x.nii.gz", gzip.compress(nifti((5, 5, 5)))),
        ("x.nrrd", nrrd("5 5 5")),
        ("x.nrrd", nrrd("5 5 5", "gzip")),
        ("x.mha", metaimage("5 5 5")),
        ("x.mha", metaimage("5 5 5", compressed=True)),
    ],
    ids=["nii", "nii.gz", "nrrd", "nrrd gzip", "mha", "mha compressed"],
)
def test_the_same_files_with_true_sizes_are_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    values = read_file(tmp_path / name).values_ijk
    assert values.ravel(order="F").tobytes() == SMALL[:250]


def test_a_compressed_metaimage_of_fewer_voxels_is_refused_where_itk_makes_them_up(tmp_path):
    path = tmp_path / "x.mha"
    path.write_bytes(metaimage("5 5 6", compressed=True))
    assert SimpleITK.ReadImage(str(path)).GetSize() == (5, 5, 6)
    with pytest.raises(DataError, match=r"damaged \(250 bytes of voxels, the header says 300\)"):
        read_file(path)


def test_what_follows_the_voxels_in_a_gzip_stream_is_not_decompressed(tmp_path):
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(nifti((5, 5, 5)))
        for _ in range(150):
            stream.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        assert read_image(path).array.shape == (5, 5, 5)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert len(decompress(path.read_bytes(), path, 10**30)) == 150_000_000 + len(nifti((5, 5, 5)))


def test_several_members_of_a_gzip_file_are_one_stream(tmp_path):
    data = nifti((5, 5, 5))
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(data[:100]) + gzip.compress(data[100:400]) + gzip.compress(data[400:]))
    assert read_file(path).values_ijk.ravel(order="F").tobytes() == SMALL[:250]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"x\.nii\.gz: truncated or damaged"):
        read_file(path)


@pytest.mark.parametrize("more", ["CompressedDataSize = 0\n", "Comment = none\n"])
def test_a_compressed_metaimage_without_its_length_is_refused_where_itk_makes_voxels_up(
    tmp_path, more, capfd
):
    path = tmp_path / "x.mha"
    path.write_bytes(metaimage("5 5 5", compressed=True, more=more))
    made_up = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert made_up.tobytes() != SMALL[:250]
    with pytest.raises(DataError, match=r"x\.mha: the header lacks CompressedDataSize"):
        read_file(path)


def test_a_compressed_metaimage_of_too_small_a_length_is_refused(tmp_path):
    path = tmp_path / "x.mha"
    path.write_bytes(metaimage("5 5 5", compressed=True, more="CompressedDataSize = 100\n"))
    with pytest.raises(DataError, match=r"damaged \(the compressed voxels end too early\)"):
        read_file(path)


@pytest.mark.parametrize("name", ["x.nrrd", "x.mha"])
def test_a_header_of_no_voxels_is_refused(tmp_path, name):
    make = nrrd if name == "x.nrrd" else metaimage
    (tmp_path / name).write_bytes(make("0 5 5"))
    with pytest.raises(DataError, match=rf"{name}: (the header gives 0 x 5 x 5 voxels|ITK can't read)"):
        read_file(tmp_path / name)


@pytest.mark.parametrize("axes", ["300000000000000000000000", "11", "-3", "3x", ""])
def test_a_metaimage_of_too_many_axes_is_refused_where_itk_crashes(tmp_path, axes):
    (tmp_path / "x.mha").write_bytes(metaimage("5 5 5").replace(b"NDims = 3", f"NDims = {axes}".encode()))
    with pytest.raises(DataError, match=r"x\.mha: damaged \(NDims is"):
        read_file(tmp_path / "x.mha")


ELSEWHERE = ["/etc/passwd", "../secret.raw", "sub/../../secret.raw", "..\\secret.raw", "C:\\secret.raw"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_header_makes_no_file_elsewhere_its_voxels(tmp_path, name):
    (tmp_path / "secret.raw").write_bytes(SMALL)
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "x.mhd").write_bytes(metaimage("5 5 5", file=name))
    (folder / "colon.mha").write_bytes(
        (folder / "x.mhd").read_bytes().replace(b"DataFile = ", b"DataFile : ")
    )
    (folder / "x.nhdr").write_bytes(nrrd("5 5 5", more=f"data file: {name}"))
    for path in folder.iterdir():
        with pytest.raises(DataError, match=rf"{path.name}: the header .*which is not in its own folder"):
            read_file(path)


@pytest.mark.parametrize("name", ["{folder}/x.raw", "../scans/x.raw", "sub/../x.raw", "{link}/x.raw"])
def test_a_path_that_ends_in_the_headers_own_folder_is_taken(tmp_path, name):
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    (folder / "x.raw").write_bytes(SMALL)
    name = name.format(folder=folder, link=tmp_path / "link")
    (folder / "x.mhd").write_bytes(metaimage("5 5 5", file=name)[: -len(SMALL)])
    values = read_file(folder / "x.mhd").values_ijk
    assert values.ravel(order="F").tobytes() == SMALL[:250]
    (tmp_path / "secret.raw").write_bytes(SMALL)
    (folder / "x.raw").unlink()
    (folder / "x.raw").symlink_to(tmp_path / "secret.raw")
    with pytest.raises(DataError, match=r"x\.mhd: the header .*which is not in its own folder"):
        read_file(folder / "x.mhd")


@pytest.mark.parametrize("name", ["x%d.raw 1 5 0", "%s%n.raw", "LIST", "LIST 3"])
def test_a_header_of_several_files_is_refused_where_itk_may_crash(tmp_path, name):
    """A step of 0 between the files' numbers stopped the process, and ``%n`` would be obeyed."""
    (tmp_path / "x.mhd").write_bytes(metaimage("5 5 5", file=name))
    (tmp_path / "x.nhdr").write_bytes(nrrd("5 5 5", more=f"data file: {name}"))
    for path in (tmp_path / "x.mhd", tmp_path / "x.nhdr"):
        with pytest.raises(DataError, match=r"which are several files; write the scan as one file"):
            read_file(path)


def test_a_header_without_its_voxels_says_which_file_is_missing(tmp_path):
    (tmp_path / "x.mhd").write_bytes(metaimage("5 5 5", file="x.raw"))
    with pytest.raises(DataError, match=r"x\.mhd: .* lie in x\.raw, but there is no such file"):
        read_file(tmp_path / "x.mhd")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.raw").write_bytes(SMALL)
    (tmp_path / "x.mhd").write_bytes(metaimage("5 5 5", file="sub/x.raw")[: -len(SMALL)])
    assert read_file(tmp_path / "x.mhd").values_ijk.shape == (5, 5, 5)


@pytest.mark.parametrize("line", [b"a" * 2_000_000, b"key: value\n" * 20_000], ids=["line", "lines"])
def test_a_header_without_end_is_refused(tmp_path, line):
    (tmp_path / "x.nrrd").write_bytes(b"NRRD0004\n" + line)
    with pytest.raises(DataError, match=r"x\.nrrd: damaged \(its header has no end\)"):
        read_file(tmp_path / "x.nrrd")


def test_slices_that_declare_more_pixels_than_they_hold_are_refused(tmp_path):
    def enlarge(_: int, header: object) -> None:
        header.Rows = header.Columns = 65_535  # type: ignore[attr-defined]

    write_series(tmp_path / "scan", np.zeros((5, 5, 4)), series_geometry((5, 5, 4)), edit=enlarge)
    with pytest.raises(
        DataError, match=r"pixels are cut short \(the header declares 4294836225, the file has"
    ):
        read_file(tmp_path / "scan")


def test_a_header_whose_directions_are_no_numbers_is_refused(tmp_path):
    """Found by the fuzz tests: ``0.75`` that became ``0\x0e75``."""
    content = nrrd("5 5 5").replace(b"(0,1,0)", b"(0,0\x0e75,0)")
    (tmp_path / "x.nrrd").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.nrrd: the header places the voxels nowhere"):
        read_file(tmp_path / "x.nrrd")
