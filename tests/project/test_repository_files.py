"""The files that GitHub reads: issue forms, the workflow, the citation."""

import datetime
import re
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import olivine
from tests.support import ROOT
from tests.support.tracked_files import tracked

FORMS = sorted(
    name
    for name in tracked(".github/ISSUE_TEMPLATE")
    if name.endswith(".yml") and not name.endswith("config.yml")
)
FIELDS = {"checkboxes", "dropdown", "input", "markdown", "textarea", "upload"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def of_project(key: str) -> str:
    """Return a text of pyproject.toml's first table; Python 3.10 cannot read TOML."""
    text = (ROOT / "pyproject.toml").read_text()
    return re.findall(rf'^{key} = "([^"]+)"', text, re.MULTILINE)[0]


@pytest.mark.parametrize("name", FORMS)
def test_an_issue_form_is_one(name: str) -> None:
    form = read(name)
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "body", "type"}
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w-]+", name) for name in ids)
    for field in form["body"]:
        assert field["type"] in FIELDS
        assert set(field) <= {"type", "id", "attributes", "validations"}
        attributes = field["attributes"]
        assert attributes.get("label") or field["type"] == "markdown"
        if field["type"] == "dropdown":
            assert len(set(attributes["options"])) == len(attributes["options"]) > 1
        if field["type"] == "checkboxes":
            assert all(set(option) <= {"label", "required"} for option in attributes["options"])


def test_there_are_forms_for_bugs_and_questions() -> None:
    assert {name.split("/")[-1] for name in FORMS} >= {"bug.yml", "question.yml"}


def test_the_workflow_runs_ci() -> None:
    workflow = read(".github/workflows/ci.yml")
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads `on` as true


def test_at_night_the_tests_run_that_ci_leaves_out() -> None:
    (job,) = read(".github/workflows/nightly.yml")["jobs"].values()
    *_, set_up, tests = (step["run"] for step in job["steps"] if "run" in step)
    pages = "".join((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md"))
    assert [line for line in set_up.splitlines() if line not in pages] == []
    assert f"`{tests}`" in pages


@pytest.mark.parametrize("name", ["ci", "nightly"])
def test_workflows_use_what_the_project_needs(name: str) -> None:
    workflow = read(f".github/workflows/{name}.yml")
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"}
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4"))
    (python,) = (step["with"]["python-version"] for step in job["steps"] if "with" in step)
    assert python in SpecifierSet(of_project("requires-python"))


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == olivine.__version__
    assert citation["license"] == of_project("license")
    assert citation["message"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    (paper,) = citation["references"]
    assert paper["type"] == "conference-paper"
    assert [author["family-names"] for author in paper["authors"]] == ["Zhang", "Hou"]
    assert paper["year"] <= datetime.date.today().year
