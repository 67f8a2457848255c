"""The launcher file: Ray accepts it, and it opens, leaks and wastes nothing."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FOLDER = Path(__file__).parents[2] / "cluster"
FILE = FOLDER / "aws.yaml"
Config = dict[str, Any]

COMMANDS = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
SECRETS = {
    "an AWS key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a token": re.compile(r"\b(ghp_|hf_|xox[bp]-|eyJ)[\w-]{16,}|\b[0-9a-f]{32,}\b"),
    "a password": re.compile(r"(?i)(password|passwd|secret|token)\s*[=:]\s*[\"']?\w{8,}"),
}


def load() -> Config:
    return yaml.safe_load(FILE.read_text())


def problems(config: Config) -> list[str]:
    """Return what is wrong with a launcher file beyond what Ray itself refuses."""
    head = config["available_node_types"][config["head_node_type"]]
    workers = [
        node
        for name, node in config["available_node_types"].items()
        if name != config["head_node_type"]
    ]
    text = "\n".join(strings(config))
    options = " ".join(config["docker"]["run_options"])
    image = config["docker"].get("image", "")
    rules = {
        "an address open to all": "0.0.0.0" not in text and "::/0" not in text,
        "the dashboard is not told to stay local": all(
            "--dashboard-host=127.0.0.1" in command
            for command in config.get("head_start_ray_commands", ["ray start"])
            if "ray start" in command
        ),
        "no token": "RAY_AUTH_MODE=token" in options and "RAY_AUTH_TOKEN_PATH=" in options,
        "a privileged container": "--privileged" not in options,
        "an image without a version": re.search(r":\d+\.\d+\.\d+", image) and "latest" not in text,
        "commands left to Ray's defaults": all(config.get(name) for name in COMMANDS),
        "a nightly Ray": "3.0.0.dev" not in text,
        "stopped nodes that keep their disks": config["provider"].get("cache_stopped_nodes")
        is False,
        "no cap on workers": 0 < config.get("max_workers", 0) <= 16
        and all(node.get("max_workers") for node in workers),
        "workers that never leave": 0 < config.get("idle_timeout_minutes", 0) <= 30,
        "workers that never go to zero": all(node.get("min_workers") == 0 for node in workers),
        "tasks on the head": head["resources"] == {"CPU": 0} and head["max_workers"] == 0,
        "a head that may be reclaimed": "InstanceMarketOptions" not in head["node_config"],
        "workers that are not spot": all(market(node) == "spot" for node in workers),
        "workers without a GPU": all(node["resources"].get("GPU") for node in workers),
        "no order among workers": len({node.get("priority") for node in workers}) == len(workers),
        "credentials of the old kind": all(
            node["node_config"].get("MetadataOptions", {}).get("HttpTokens") == "required"
            for node in [head, *workers]
        ),
        "Ray's own role, which may do anything": "IamInstanceProfile" in head["node_config"],
    }
    found = [problem for problem, holds in rules.items() if not holds]
    return found + [name for name, pattern in SECRETS.items() if pattern.search(text)]


def market(node: Config) -> str:
    return node["node_config"].get("InstanceMarketOptions", {}).get("MarketType", "on-demand")


def strings(tree: Any) -> Iterator[str]:
    """Yield all keys and values as `key=value` text, without the file's comments."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield f"{key}={value}" if isinstance(value, str) else str(key)
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    else:
        yield str(tree)


def test_ray_accepts_it_as_written_and_with_its_defaults() -> None:
    config = load()
    validate_config(config)
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    assert "latest" not in json.dumps(prepared)
    assert "dashboard-host=0.0.0.0" not in json.dumps(prepared)


def test_it_breaks_none_of_our_rules() -> None:
    assert problems(load()) == []
    assert problems(prepare_config(load())) == []


def test_the_image_is_the_tested_ray() -> None:
    tested = (FOLDER.parent / "tested-versions.txt").read_text()
    version = re.search(r"^ray==(\S+)$", tested, re.MULTILINE)
    assert version
    assert f"rayproject/ray:{version[1]}-py311-gpu" == load()["docker"]["image"]


def change(path: str, value: Any) -> Callable[[Config], None]:
    def apply(config: Config) -> None:
        *parents, last = path.split("/")
        for name in parents:
            config = config[name]
        config[last] = value

    return apply


def drop(path: str) -> Callable[[Config], None]:
    def apply(config: Config) -> None:
        *parents, last = path.split("/")
        for name in parents:
            config = config[name]
        del config[last]

    return apply


NODES = "available_node_types"


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (drop("max_workers"), "no cap on workers"),
        (drop("idle_timeout_minutes"), "workers that never leave"),
        (drop("provider/cache_stopped_nodes"), "stopped nodes that keep their disks"),
        (drop("head_start_ray_commands"), "the dashboard is not told to stay local"),
        (drop("setup_commands"), "commands left to Ray's defaults"),
        (drop(f"{NODES}/spot_l4/node_config/InstanceMarketOptions"), "workers that are not spot"),
        (
            drop(f"{NODES}/head/node_config/IamInstanceProfile"),
            "Ray's own role, which may do anything",
        ),
        (change(f"{NODES}/head/resources", {"CPU": 4, "GPU": 1}), "tasks on the head"),
        (change(f"{NODES}/spot_a10g/min_workers", 1), "workers that never go to zero"),
        (change("docker/image", "rayproject/ray:latest-gpu"), "an image without a version"),
        (change("docker/run_options", []), "no token"),
        (
            change("head_start_ray_commands", ["ray start --head --dashboard-host=0.0.0.0"]),
            "an address open to all",
        ),
        (change("setup_commands", ["export RAY_AUTH_TOKEN=3f9ac17be2d84c6f"]), "a password"),
        (change("setup_commands", ["aws configure set x AKIAIOSFODNN7EXAMPLE"]), "an AWS key"),
    ],
)
def test_each_rule_catches_its_mistake(mistake: Callable[[Config], None], expected: str) -> None:
    config = load()
    mistake(config)
    assert expected in problems(config)


def test_no_file_of_the_folder_holds_a_secret() -> None:
    for path in FOLDER.iterdir():
        for name, pattern in SECRETS.items():
            assert not pattern.search(path.read_text()), f"{path.name} seems to hold {name}"


def test_the_head_may_end_only_nodes_of_its_cluster() -> None:
    policy = json.loads((FOLDER / "head-policy.json").read_text())
    (ending,) = [s for s in policy["Statement"] if "Terminate" in str(s["Action"])]
    tags = ending["Condition"]["StringEquals"]
    assert tags == {"aws:ResourceTag/ray-cluster-name": load()["cluster_name"]}
    actions = [s["Action"] for s in policy["Statement"]]
    assert "*" not in json.dumps(actions).replace("Describe*", "")


def test_the_readme_names_the_files_and_paths_of_the_launcher() -> None:
    readme, config = (FOLDER / "README.md").read_text(), load()
    (local,) = config["file_mounts"].values()
    head = config["available_node_types"]["head"]["node_config"]
    for name in (
        f"{local}/auth_token",
        f"{local}/checkout",
        head["IamInstanceProfile"]["Name"],
        config["provider"]["security_group"]["GroupName"],
        f"idle ones end after {'five' if config['idle_timeout_minutes'] == 5 else '?'} minutes",
        f"max_workers: {config['max_workers']}",
    ):
        assert name in readme, name


def launched(bundle: dict[str, float], count: int, **happened: Any) -> dict[str, int]:
    """Ask Ray's own autoscaler which workers it starts for `count` such requests."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import ResourceRequestByCount

    config = AutoscalingConfig(prepare_config(load()), skip_content_hash=True)
    request = ResourceRequestByCount(request=ResourceRequestUtil.make(bundle), count=count)
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes() - 1,  # the head is there
            resource_requests=[request],
            disable_launch_config_check=True,
            **happened,
        )
    )
    return {launch.instance_type: launch.count for launch in reply.to_launch}


def test_rays_autoscaler_starts_what_a_job_needs_and_never_more_than_the_cap() -> None:
    assert launched({"GPU": 1, "CPU": 1}, 1) == {"spot_l4": 1}
    assert launched({"GPU": 0.25}, 4) == {"spot_l4": 1}, "small trials share a GPU"
    assert launched({"CPU": 1}, 1) == {"spot_l4": 1}, "the head takes no task"
    assert launched({"GPU": 1}, 50) == {"spot_l4": load()["max_workers"]}


def test_without_capacity_of_the_first_kind_it_takes_the_second() -> None:
    gone = {"spot_l4": 0.0, "spot_a10g": 1.0}
    started = launched({"GPU": 1}, 2, recoverable_resource_availabilities=gone)
    assert started == {"spot_a10g": 2}
