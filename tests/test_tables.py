"""What a folder and a table say of photos: parts, classes, attributes, groups, as people write them."""

import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aelib import datasets
from aelib.datasets import conditioned, of, split

RNG = np.random.default_rng(0)
NUMBERS = [f"{i:03d}.png" for i in range(30)]


def fill(root, files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 7, 3), np.uint8)).save(root / file)


@pytest.fixture
def root(no_data, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def load(root, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return datasets.load(root, **{"size": 4, **options})


def parts(split):
    return {name: getattr(split, name) for name in ("train", "valid", "test")}


def files(split):
    return {name: set(part.files) for name, part in parts(split).items() if len(part)}


# ---- parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "train, valid, test",
    [("train", "valid", "test"), ("Train", "VAL", "Test"), ("training", "validation", "testing"),
     ("train2017", "dev2017", "test2017"), ("train_images", "val_images", "test_images")],
)  # fmt: skip
@pytest.mark.parametrize("above", ["", "images/", "a/b/"])
def test_folders_of_parts_are_parts_and_classes_lie_inside(root, train, valid, test, above):
    fill(
        root, [f"{above}{p}/{c}/{p}{c}{i}.png" for p in (train, valid, test) for c in "xy" for i in range(3)]
    )
    found = load(root)
    for name, folder in zip(("train", "valid", "test"), (train, valid, test), strict=True):
        assert files(found)[name] == {
            f"{above}{folder}/{c}/{folder}{c}{i}.png" for c in "xy" for i in range(3)
        }
        part = parts(found)[name]
        assert list(part.classes) == ["x", "y"] and part.names.tolist() == ["x"] * 3 + ["y"] * 3
    assert "parts as in" in found.note and found.note in repr(found) and "dealt" not in found.note
    assert of(root).names.tolist() == [file.split("/")[-2] for file in of(root).files]


@pytest.mark.parametrize("given", [["train"], ["train", "test"], ["train", "val"]])
def test_parts_that_are_missing_are_dealt_from_train(root, given):
    fill(root, [f"{p}/{c}/{p}{c}{i}.png" for p in given for c in "xy" for i in range(20)])
    found = load(root)
    for name, folder in (("valid", "val"), ("test", "test")):
        mine = {file.split("/")[0] for file in files(found)[name]}
        assert mine == {folder if folder in given else "train"}
        assert (name in found.note.partition("dealt from train")[2]) == (folder not in given)
        assert np.bincount(parts(found)[name].labels).tolist() == ([20, 20] if folder in given else [2, 2])
    assert sum(map(len, parts(found).values())) == 40 * len(given)


def test_parts_may_lie_in_each_class(root):
    fill(
        root,
        [
            f"{c}/{p}/{c}{p}{i}.png"
            for c in ("cats", "dogs")
            for p in ("train", "val", "test")
            for i in range(3)
        ],
    )
    for part, name in zip(parts(load(root)).values(), ("train", "val", "test"), strict=True):
        assert {f.split("/")[1] for f in part.files} == {name} and part.names.tolist() == ["cats"] * 3 + [
            "dogs"
        ] * 3


def test_what_only_looks_like_parts_are_classes(root):
    fill(root, [f"{c}/{c}{i}.png" for c in ("train", "bus", "car") for i in range(4)])
    assert list(load(root).train.classes) == ["bus", "car", "train"]
    shutil.rmtree(root)
    fill(root, [f"{c}/{c}{i}.png" for c in ("protest", "trainer") for i in range(4)])
    assert list(load(root).train.classes) == ["protest", "trainer"]


def test_photos_beside_the_parts_are_left_out_and_named(root):
    """As MVTec's: training photos are all good, test photos are not, and masks lie beside them."""
    fill(root, [f"train/good/{i}.png" for i in range(20)] + ["ground_truth/bad/0_mask.png"])
    fill(root, [f"test/{c}/{i}t.png" for c in ("good", "bad") for i in range(2)])
    with pytest.warns(UserWarning, match=r"in no part, left out: 1, first ground_truth/bad/0_mask.png"):
        found = datasets.load(root, size=4)
    assert len(found.train) == 18 and list(found.test.names) == ["bad", "bad", "good", "good"]
    assert set(found.train.names) == {"good"}


def test_a_part_without_subfolders_has_no_known_class_and_copies_are_named(root):
    fill(root, [f"train/{c}/{i}.png" for c in "ab" for i in range(9)] + ["test/1.png"])
    shutil.copy(root / "train/a/3.png", root / "test/copy.png")
    with pytest.warns(
        UserWarning, match=r"in two parts, pixel for pixel: 1, first train/a/3.png .* test/copy.png"
    ):
        found = datasets.load(root, size=4, seed=1)
    assert set(found.test.names) == {"not known"} and list(found.train.classes) == ["a", "b", "not known"]


# ---- tables ----------------------------------------------------------------------------------------------

TABLE = pd.DataFrame({
    "file": NUMBERS, "Smiling": [1, -1] * 15, "Hat": [0, 1, 1] * 10, "age": np.arange(30) + 20.5,
    "kind": ["cat", "dog", "cow"] * 10, "ok": [True, None, False] * 10, "who": np.arange(30) // 3,
})  # fmt: skip
WAYS = {
    "csv": lambda t: t.to_csv("t.csv", index=False),
    "tsv": lambda t: t.to_csv("t.tsv", index=False, sep="\t"),
    "semicolons and commas": lambda t: t.to_csv("t.csv", index=False, sep=";", decimal=","),
    "with an index": lambda t: t.to_csv("t.csv"),
    "names as index": lambda t: t.set_index("file").rename_axis(None).to_csv("t.csv"),
    "with a mark at its beginning": lambda t: t.to_csv("t.csv", index=False, encoding="utf-8-sig"),
    "parquet": lambda t: t.to_parquet("t.parquet"),
    "parquet with an index": lambda t: t.set_index("file").to_parquet("t.parquet"),
    "frame": lambda t: t,
    "shuffled": lambda t: t.sample(frac=1, random_state=0),
    "frame with an index": lambda t: t.set_index("file"),
    "in another order": lambda t: t[t.columns[::-1]],
    "categories": lambda t: t.astype({"kind": "category", "Hat": "Int64", "ok": "boolean"}),
    "paths": lambda t: t.assign(file="data/photos/" + t["file"]).to_csv("t.csv", index=False),
    "backslashes": lambda t: t.assign(file=".\\" + t["file"]).to_csv("t.csv", index=False),
    "without endings": lambda t: t.assign(file=t["file"].str[:3]).to_csv("t.csv", index=False),
    "as numbers": lambda t: t.assign(file=np.arange(30)),
    "as Excel writes": lambda t: t.to_csv("t.txt", index=False, sep="\t", encoding="utf-16"),
    "numbers that became floats": lambda t: t.assign(file=np.arange(30.0)),
    "in capitals": lambda t: t.assign(file=t["file"].str.upper()).to_csv("t.csv", index=False),
    "other ending": lambda t: t.assign(file=t["file"].str[:3] + ".JPG").to_csv("t.csv", index=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_joined_by_the_names_of_photos_however_it_was_written(root, way):
    fill(root, NUMBERS)
    given = WAYS[way](TABLE)
    labels = next(root.parent.glob("t.*")) if given is None else given
    found = load(root, labels=labels)
    truth = TABLE.set_index("file")
    assert sorted(f for part in files(found).values() for f in part) == NUMBERS
    for part in parts(found).values():
        mine = truth.loc[part.files]
        assert part.names.tolist() == mine["kind"].tolist()
        np.testing.assert_array_equal(part.attribute("Smiling"), mine["Smiling"] > 0)
        np.testing.assert_array_equal(part.attribute("Hat"), mine["Hat"])
        np.testing.assert_array_equal(part.attribute("age"), mine["age"])
        np.testing.assert_array_equal(part.attribute("ok"), mine["ok"].astype(float))
        assert set(part.attributes) == {"Smiling", "Hat", "age", "ok", "who"}
        c = (
            part.only("Smiling", "age", "ok")
            .map(conditioned(like=found.train.only("Smiling", "age", "ok")))
            .batch()
            .c
        )
        assert set(c[:, 0].tolist()) <= {-1, 1} and set(c[:, 2].tolist()) <= {-1, 0, 1} and c.abs().max() < 3
    assert "kind: 3 classes" in found.note and "age: numbers" in found.note and "Hat: yes or no" in found.note


def lines(root, name, *rows):
    (root.parent / name).write_text("\n".join(rows) + "\n")
    return root.parent / name


def test_lists_without_names_of_columns_and_with_a_count_are_read(root):
    """As CelebA's own."""
    fill(root, NUMBERS)
    found = load(root, labels=lines(root, "id.txt", *(f"{f} {i % 4}" for i, f in enumerate(NUMBERS))))
    assert found.train.attribute("column 2").max() == 3 and "joined by column 1" in found.note
    rows = (f"{f}  {'-1' if i % 2 else ' 1'} -1" for i, f in enumerate(NUMBERS))
    found = load(root, labels=lines(root, "attr.txt", "30", "Young Male", *rows))
    assert list(found.train.attributes) == ["Young", "Male"] and not found.train.attribute("Male").any()
    odd = [int(f[:3]) % 2 for f in found.train.files]
    np.testing.assert_array_equal(found.train.attribute("Young"), 1 - np.array(odd))


def test_a_mapping_a_series_and_whole_numbers_called_label_are_classes(root):
    fill(root, NUMBERS)
    kinds = {name: "uv"[i % 2] for i, name in enumerate(NUMBERS)}
    for labels in (kinds, pd.Series(kinds), pd.Series(kinds, name="kind")):
        part = load(root, labels=labels).train
        assert part.names.tolist() == [kinds[f] for f in part.files]
        assert of(root, labels=labels).names.tolist() == list("uv" * 15)
    part = load(
        root, labels=lines(root, "t.csv", "id,label", *(f"{i},{10 - i % 3}" for i in range(30)))
    ).train
    assert list(part.classes) == ["8", "9", "10"] and part.attributes is None
    assert part.names.tolist() == [str(10 - int(f[:3]) % 3) for f in part.files]


def test_photos_and_rows_without_a_partner_are_counted_and_named(root):
    fill(root, NUMBERS)
    rows = [f"{i:03d}.png,{'ab'[i % 2]},{i}" for i in range(5, 40)]
    with pytest.warns(
        UserWarning, match="without a row: 5, first 000.png; rows without a photo: 10, first 030.png"
    ):
        found = datasets.load(root, size=4, labels=lines(root, "t.csv", "file,kind,x", *rows))
    whole = found.all
    unknown = np.array([int(f[:3]) < 5 for f in whole.files])
    assert (whole.names[unknown] == "not known").all() and np.isnan(whole.attribute("x")[unknown]).all()
    np.testing.assert_array_equal(whole.attribute("x")[~unknown], [int(f[:3]) for f in whole.files[~unknown]])


def test_classes_are_called_as_they_were_written(root):
    fill(root, NUMBERS)
    for pair in (("no", "yes"), ("False", "True"), ("9", "10"), ("a, 1", "b")):
        labels = lines(root, "t.csv", "file,class", *(f'{f},"{pair[i % 2]}"' for i, f in enumerate(NUMBERS)))
        assert list(load(root, labels=labels).train.classes) == list(pair)


def test_masks_of_0_and_1_are_asked_about(root):
    root.mkdir()
    for i in range(5):
        Image.fromarray(RNG.integers(0, 2, (9, 9), np.uint8)).save(root / f"{i}.png")
    with pytest.warns(UserWarning, match="the pixels are only 0 and 1 of 255"):
        datasets.load(root, size=9, channels=1)


def test_what_says_nothing_is_left_out_and_named(root):
    fill(root, NUMBERS)
    table = TABLE[["file"]].assign(
        text=[f"a {i}" for i in range(30)], empty=None, when=pd.Timestamp("2020"), one=1
    )
    found = load(root, labels=table)
    assert list(found.train.attributes) == ["one"] and "left out: text, empty, when" in found.note


def test_names_that_can_be_several_photos_are_refused_and_paths_are_not(root):
    fill(root, ["a/1.png", "b/1.png", "b/2.png", "c/3.png", "c/4.png"])
    with pytest.raises(
        ValueError, match=r"as 'a/1.png', by their paths, as some share a name. There are 'f'"
    ):
        load(root, labels=lines(root, "t.csv", "f,x", "1.png,1", "2.png,2"))
    names = ["a/1.png", "b/1.png", "b/2.png", "c/3.png", "c/4.png"]
    for above in ("", "photos/", "/far/away/photos/"):
        whole = load(root, labels={above + f: i + 0.5 for i, f in enumerate(names)}).all
        assert dict(zip(whole.files, whole.attribute("label"), strict=True)) == {
            f: i + 0.5 for i, f in enumerate(names)
        }


@pytest.mark.parametrize(
    "rows, says",
    [
        (
            ["name,x", "u.png,1", "v.png,2"],
            r"no column names the photos, as '000.png'. There are 'name' \(u.png, v",
        ),
        (["id,age", "k,1", "l,2"], "no column names the photos"),  # ages are no names
        (["file,x", "000.png,1", "000.png,2"], "rows of one photo differ, first of '000.png'"),
        (["file,x", "000.png,1", "001.png,2,3"], "t.csv cannot be read"),
        ([""], "t.csv cannot be read"),
    ],
)
def test_tables_that_do_not_fit_are_refused(root, rows, says):
    fill(root, NUMBERS)
    with pytest.raises(ValueError, match=says):
        load(root, labels=lines(root, "t.csv", *rows))


def test_files_that_are_no_tables_are_refused(root, monkeypatch):
    fill(root, NUMBERS)
    lines(root, "t.xlsx", "PK")
    lines(root, "t.parquet", "no")
    for file, says in (
        ("t.xlsx", "another kind"),
        ("none.csv", "No such file"),
        ("t.parquet", "cannot be read"),
    ):
        with pytest.raises(ValueError, match=rf"{says}.*\.csv, \.tsv, \.txt or \(with PyArrow\) \.parquet"):
            load(root, labels=file)


# ---- parts and groups of a table -------------------------------------------------------------------------


def test_a_column_of_parts_is_the_split(root):
    fill(root, NUMBERS)
    table = TABLE[["file", "kind"]].assign(Split=["train", "Test", "val"] * 10)
    found = load(root, labels=table)
    assert files(found)["test"] == set(NUMBERS[1::3]) and files(found)["valid"] == set(NUMBERS[2::3])
    assert "parts as in column Split" in found.note and list(found.train.classes) == ["cat", "cow", "dog"]
    found = load(root, labels=table.replace("val", "train"))
    assert files(found)["test"] == set(NUMBERS[1::3]) and len(found.valid) == 2
    assert load(root, labels=table.replace("val", "other")).train.attributes is not None  # then it is words


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_together(root, seed):
    fill(root, NUMBERS)
    found = load(root, labels=TABLE, by="who", seed=seed)
    sets = [{int(f[:3]) // 3 for f in part} for part in files(found).values()]
    assert len(sets) == 3 and sum(map(len, sets)) == 10 and "who" not in found.train.attributes
    assert [len(found.valid), len(found.test)] == [3, 3]
    assert files(load(root, labels=TABLE, by="who", seed=seed)) == files(found)
    other = split(root, labels=TABLE, by="who", valid=0.2, test=0.3, seed=seed)
    sets = [{int(f[:3]) // 3 for f in part} for part in files(other).values()]
    assert sum(map(len, sets)) == 10 and [len(other.valid), len(other.test)] == [6, 9]
    again = split(load(root, labels=TABLE).all, by="who", seed=seed)
    sets = [set(part.attribute("who")) for part in parts(again).values()]
    assert sum(map(len, sets)) == 10 and len(again.test) == 3


def test_folders_are_groups_if_that_is_asked_for(root):
    fill(root, [f"day {j}/{i}.png" for j in range(20) for i in range(3)])
    for found in (load(root, by="folder"), split(root, by="folder")):
        sets = [{f.split("/")[0] for f in part} for part in files(found).values()]
        assert [len(s) for s in sets] == [16, 2, 2] and not sets[0] & (sets[1] | sets[2])
    for by, says in (("days", 'by is "folder", or a column of the labels'), ("who", "got 'who'")):
        with pytest.raises(ValueError, match=says):
            load(root, by=by)
    shutil.rmtree(root)
    fill(root, [f"{j}/{i}.png" for j in "ab" for i in range(3)])
    with pytest.raises(
        ValueError, match=r"3 parts need as many groups \(of by\) or examples, or more; there are 2"
    ):
        load(root, by="folder")


def test_groups_in_two_of_the_given_parts_are_named(root):
    fill(root, [f"{p}/{i}{p}.png" for p in ("train", "test") for i in range(20)])
    people = {
        f"{i}{p}.png": f"person {i if p == 'train' else i + 19}" for p in ("train", "test") for i in range(20)
    }
    table = pd.DataFrame({"file": people.keys(), "who": people.values(), "x": 0.5})
    with pytest.warns(UserWarning, match="groups in two parts: 1, first person 19"):
        datasets.load(root, size=4, labels=table, by="who")
