"""The datasets known by name: what is said of them holds, on the page of licences too."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from aelib import datasets
from aelib.datasets import DATASETS, DataError

PAGE = Path(__file__).parent.parent / "materials" / "data_licences.md"


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_says_what_it_is(name):
    source = DATASETS[name]
    assert source.what and source.terms and source.size
    assert name == source.load.__name__.replace("_", "-")


def test_the_page_of_licences_has_a_row_for_each_with_its_terms_size_and_places():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines()
            if line.startswith("| ")]  # fmt: skip
    named = {found[1]: row for row in rows if (found := re.search(r"\(`([a-z0-9-]+)`\)", row[0]))}
    assert set(named) == set(DATASETS)
    for name, source in DATASETS.items():
        _, made_by, terms, size, check, places = named[name]
        assert made_by and terms.startswith(source.terms), name
        assert (size, check) == (source.size, source.check), name
        assert re.findall(r"`(.*?)`", places) == list(source.places), name


@pytest.mark.parametrize("name", [name for name, source in DATASETS.items() if source.places])
def test_a_loader_looks_in_the_places_that_the_registry_names(name, no_data, monkeypatch):
    asked = []
    monkeypatch.setenv("AELIB_OFFLINE", "1")
    monkeypatch.setattr(sys.modules[DATASETS[name].load.__module__], "find", asked.append)
    with pytest.raises(DataError):
        datasets.load(name)
    for place in DATASETS[name].places:
        assert any(a == place or a.startswith(place + "/") for a in asked), f"{place} is not among {asked}"


def test_a_dataset_is_found_in_the_first_of_its_places_that_is_there(no_data, monkeypatch, tmp_path):
    monkeypatch.setenv("AELIB_DATA", str(tmp_path))
    assert DATASETS["lfw"].found() is None
    (tmp_path / "lfw" / "lfw_funneled").mkdir(parents=True)
    assert DATASETS["lfw"].found() == tmp_path / "lfw" / "lfw_funneled"


def test_an_existing_folder_is_a_dataset(no_data, tmp_path):
    for i in range(12):
        Image.new("RGB", (20, 10), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    for folder in (tmp_path, str(tmp_path)):
        split = datasets.load(folder, size=8)
        assert (len(split.train), split.shape, split.name) == (10, (3, 8, 8), tmp_path.name)


@pytest.mark.parametrize(
    "name, options, says",
    [
        ("mnits", {}, "Did you mean 'mnist'?"),
        ("my/photos", {}, "no dataset or folder of photos 'my/photos'"),
        ("", {}, "no dataset or folder of photos ''"),
        ("folder", {}, "name the folder itself"),
        ("digits", {"size": 8}, "digits has no option 'size'. Its options: none"),
        ("lfw", {"sise": 8}, "lfw has no option 'sise'. Its options: size, split, crop, channels, seed"),
    ],
)
def test_what_is_no_dataset_gets_a_sentence(no_data, name, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        datasets.load(name, **options)
