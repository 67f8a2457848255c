"""Files in a bucket, against a real server of the S3 protocol."""

import multiprocessing
import pickle
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin

from olivine.core.buckets import explain
from olivine.core.errors import UserError
from olivine.core.storage import Store
from tests.support.servers.bucket_server import BUCKET, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def store(server: str, request: pytest.FixtureRequest) -> Store:
    return Store(f"s3://{BUCKET}/{request.node.name}")


def test_what_is_written_is_listed_and_read_back(store: Store) -> None:
    store.write("a/b.txt", b"one")
    store.write("a/c/d.txt", b"two")
    store.write("a/b.txt", b"three")

    assert store.names("a") == {"a/b.txt", "a/c/d.txt"}
    assert store.names("nothing") == set()
    assert store.sizes_and_times("a").keys() == {"a/b.txt"}
    assert store.folders("a") == {"a/c"}
    assert store.read("a/b.txt") == b"three"
    assert store.exists("a/b.txt")
    assert not store.exists("a")
    store.delete("a/b.txt")
    store.delete("a/b.txt")
    assert not store.exists("a/b.txt")
    assert store.path("a/c/d.txt") == f"{store.root}/a/c/d.txt"
    assert Store(f"{store.root}/").read("a/c/d.txt") == b"two"


def test_a_listing_is_longer_than_a_page(store: Store) -> None:
    names = {f"maps/{index:04d}.png" for index in range(1100)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.write(name, b"x"), names))

    assert store.names("maps") == names


def test_a_large_file_is_never_seen_half(store: Store) -> None:
    """Twelve megabytes go up in several parts; a reader beside it sees none or all."""
    whole = [bytes([number]) * 12_000_000 for number in (1, 2)]
    seen = []
    with ThreadPoolExecutor(1) as pool:
        for data in whole:
            writing = pool.submit(store.write, "big", data)
            while not writing.done():
                if store.exists("big"):
                    seen.append(store.read("big"))
            writing.result()
    assert store.read("big") == whole[1]
    assert all(data in whole for data in seen)


def _reads(store: Store) -> bytes:
    return store.read("a.txt")


def test_a_store_sent_to_another_process_connects_anew(store: Store) -> None:
    store.write("a.txt", b"one")

    assert pickle.loads(pickle.dumps(store)).read("a.txt") == b"one"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_reads, (store,)).get(60) == b"one"


def test_a_forked_loader_process_does_not_use_its_parents_connection(store: Store) -> None:
    store.write("a.txt", b"one")
    kept: list[Store] = [store]  # inherited, not sent
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    for _ in range(2):
        context.Process(target=lambda: queue.put(kept[0].read("a.txt"))).start()

    assert [queue.get(timeout=60) for _ in range(2)] == [b"one", b"one"]
    assert store.read("a.txt") == b"one"


def one_sentence_soon(words: str, store: Store) -> None:
    """Every action raises one sentence with these words within seconds."""
    for action in (
        store.names, lambda: store.exists("a"), lambda: store.read("a"),
        lambda: store.write("a", b"x"), lambda: store.delete("a"),
    ):  # fmt: skip
        began_s = time.monotonic()
        with pytest.raises(UserError, match=words) as raised:
            action()
        assert time.monotonic() - began_s < 20
        assert "\n" not in str(raised.value)
        assert store.root in str(raised.value)


def test_a_server_that_does_not_answer_is_one_sentence(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        one_sentence_soon(f"no server answers at {address}: check the network", Store("s3://lab/x"))


def test_a_missing_bucket_is_one_sentence_where_it_matters(server: str) -> None:
    store = Store("s3://no-such-bucket/x")

    with pytest.raises(UserError, match=r"Cannot write s3://no-such-bucket/x/a: create the bucket"):
        store.write("a", b"x")
    with pytest.raises(UserError, match=r"Cannot read s3://no-such-bucket/x/a"):
        store.read("a")


def test_wrong_credentials_are_one_sentence(
    server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)

    one_sentence_soon("check the credentials .AWS_ACCESS_KEY_ID and", store)


def test_a_missing_file_is_one_sentence(store: Store) -> None:
    with pytest.raises(UserError, match=r"Cannot read s3://.*/none\.txt: No such file"):
        store.read("none.txt")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://lab/x", "must be a path, s3://bucket/prefix or gs://bucket/prefix"),
        ("s3:///x", "names no bucket; write s3://BUCKET"),
        ("s3://lab/x?endpoint_override=localhost:9000", "by the variable AWS_ENDPOINT_URL"),
    ],
)
def test_a_uri_that_names_no_bucket_is_refused_before_anyone_is_asked(uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Store(uri)


def test_an_error_nobody_foresaw_is_told_as_it_is() -> None:
    assert explain(OSError("strange\nthing."), "gs://lab") == "strange thing"


def test_google_without_credentials_is_told_where_they_go() -> None:
    said = "UNAVAILABLE: Could not create a OAuth2 access token to authenticate the request."
    assert "(GOOGLE_APPLICATION_CREDENTIALS)" in explain(OSError(said), "gs://lab")
