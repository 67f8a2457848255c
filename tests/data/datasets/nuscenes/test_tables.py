import json

import pytest

from olivine.core.errors import UserError
from olivine.data.datasets.nuscenes import tables
from olivine.data.datasets.nuscenes.tables import SceneRow, read_rows


def scenes(num):
    return [
        {
            "token": f"t{number}",
            "name": f"scene-{number}",
            "nbr_samples": number,
            "first_sample_token": f"s{number}",
            "last_sample_token": "b",
            "description": 'looks like an end }, { and \\"}, {',
        }
        for number in range(num)
    ]


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 333, 1 << 20])
@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("num", [0, 1, 40])
def test_rows_are_the_same_for_any_size_of_piece_and_any_layout(
    tmp_path, monkeypatch, piece_bytes, indent, num
):
    """Texts that look like the end of a row are in every row."""
    monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
    (tmp_path / "scene.json").write_text(json.dumps(scenes(num), indent=indent))
    rows = list(read_rows(tmp_path, "scene", SceneRow))
    assert [(row.token, row.name, row.first_sample_token) for row in rows] == [
        (f"t{number}", f"scene-{number}", f"s{number}") for number in range(num)
    ]


@pytest.mark.parametrize("piece_bytes", [64, 1 << 20])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "broken JSON"),
        ("[", "broken JSON"),
        (json.dumps(scenes(9))[:-40], "broken JSON"),
        (json.dumps(scenes(9))[:-1], "broken JSON"),
        ('{"token": "t"}', "not a nuScenes table"),
        ('[{"token": "t"}]', "missing required field `name`"),
        (json.dumps([*scenes(3), {**scenes(1)[0], "first_sample_token": 3}]), "first_sample_token"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, monkeypatch, text, words, piece_bytes):
    monkeypatch.setattr(tables, "_PIECE_BYTES", piece_bytes)
    (tmp_path / "scene.json").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        list(read_rows(tmp_path, "scene", SceneRow))
    assert str(tmp_path / "scene.json") in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"scene\.json is missing"):
        list(read_rows(tmp_path, "scene", SceneRow))
