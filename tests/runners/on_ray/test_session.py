import os
import subprocess
import sys
import textwrap

import pytest

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.runners.on_ray.session import _join, ray_session
from tests.support import ROOT

OWN_RAY = textwrap.dedent("""
    import sys
    from olivine.core.runtime import Runtime
    from olivine.runners.on_ray.session import ray_session

    with ray_session(Runtime(cache_dir=sys.argv[1])):
        import ray
        from ray._raylet import AuthenticationMode, get_authentication_mode

        assert get_authentication_mode() == AuthenticationMode.TOKEN
        assert ray.get(ray.remote(lambda: 41 + 1).remote()) == 42
        with ray_session(Runtime()):
            pass
        assert ray.is_initialized(), "a Ray that was there before the block is left alone"
    assert not ray.is_initialized()
""")


@pytest.mark.slow
def test_own_ray_has_a_private_token_and_ends_with_the_block(tmp_path):
    long = tmp_path / ("long" * 25)  # no socket fits below it
    long.mkdir()
    names = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", OWN_RAY, str(tmp_path / "cache")],
        env={**environment, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    token = tmp_path / "cache" / "ray_auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / ".ray" / "auth_token").exists()
    assert not done.stdout


def test_a_connected_ray_is_used(local_ray):
    import ray

    with ray_session(Runtime(ray_address="10.0.0.1:6379")):
        assert ray.get_runtime_context().gcs_address == local_ray
    assert ray.is_initialized()


def test_a_cluster_that_does_not_answer_is_one_sentence():
    with pytest.raises(UserError, match=r"Cannot join the Ray cluster at '127.0.0.1:9'") as caught:
        _join("127.0.0.1:9", {})
    assert "\n" not in str(caught.value)
