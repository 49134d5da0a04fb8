"""Who may come in, and what the service refuses to be started as."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fibromorph.cli import main
from fibromorph.errors import BundleError, ConfigError
from fibromorph.manifest import shipped_folder
from fibromorph.serving.service.access import Access, Caller
from fibromorph.serving.service.ledger import Database, Keys
from fibromorph.serving.service.problems import Refusal
from fibromorph.serving.service.settings import load_settings, require_model

HERE = "127.0.0.1"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Keys(database)
    database.close()


def test_loopback_is_open_and_other_addresses_are_not(keys: Keys) -> None:
    assert Access(load_settings(None), keys).caller(None, HERE).owner == "local"
    with pytest.raises(ConfigError, match="fibromorph keys add"):
        Access(load_settings(None, host="0.0.0.0"), keys)
    secret = keys.add("lab", ["read"], 30)
    access = Access(load_settings(None, host="0.0.0.0"), keys)
    with pytest.raises(Refusal, match="a key must be sent"):
        access.caller(None, HERE)
    caller = access.caller(secret, HERE)
    assert caller.scopes == {"read"}
    assert caller.sees == caller.owner


def test_an_admin_sees_everybody_s_jobs(keys: Keys) -> None:
    secret = keys.add("boss", ["admin"], None)
    caller = Access(load_settings(None, require_keys=True), keys).caller(secret, HERE)
    assert caller.sees is None


def test_a_key_lets_in_until_it_is_revoked(keys: Keys) -> None:
    secret = keys.add("lab", ["read"], None)
    access = Access(load_settings(None, require_keys=True), keys)
    caller = access.caller(secret, HERE)
    assert access.lets_in(secret)
    assert not access.lets_in(None)
    keys.revoke(caller.owner)
    assert not access.lets_in(secret)


def test_guessing_is_slowed_down(keys: Keys) -> None:
    secret = keys.add("lab", ["read"], None)
    access = Access(load_settings(None, require_keys=True), keys)
    statuses = []
    for n in range(12):
        with pytest.raises(Refusal) as refused:
            access.caller(f"fm_{n:08d}_guess", "10.0.0.1")
        statuses.append(refused.value.status)
    assert statuses == [401] * 10 + [429] * 2
    # Behind a proxy everybody has one address: a good key is let in, new or not.
    assert access.caller(secret, "10.0.0.1").scopes == {"read"}
    with pytest.raises(Refusal) as refused:
        access.caller("fm_00000000_guess", "10.0.0.1")
    assert 30 < refused.value.retry_after <= 61


def test_guesses_at_one_key_keep_out_no_other(keys: Keys) -> None:
    aimed_at, other = keys.add("lab", ["read"], None), keys.add("ward", ["read"], None)
    access = Access(load_settings(None, require_keys=True), keys)
    statuses = []
    for n in range(11):
        with pytest.raises(Refusal) as refused:
            access.caller(f"{aimed_at}{n}", HERE)
        statuses.append(refused.value.status)
    assert statuses == [401] * 10 + [429]
    assert access.caller(other, HERE).scopes == {"read"}


def test_a_wrong_key_that_is_sent_again_and_again_counts_once(keys: Keys) -> None:
    keys.add("lab", ["read"], None)
    access = Access(load_settings(None, require_keys=True), keys)
    for _ in range(30):
        with pytest.raises(Refusal) as refused:
            access.caller("fm_00000000_old", HERE)
        assert refused.value.status == 401


class OneToken:
    """A provider that knows one token."""

    def names_known_key(self, token: str) -> bool:
        return token == "renewed"

    def caller(self, token: str) -> Caller | None:
        return Caller("oidc:ada", frozenset({"read"})) if token in ("hers", "renewed") else None


def test_a_token_that_was_let_in_still_is_while_others_guess(keys: Keys) -> None:
    access = Access(load_settings(None), keys, OneToken())
    assert access.caller("hers", HERE).owner == "oidc:ada"
    for n in range(11):
        with pytest.raises(Refusal):
            access.caller(f"guess {n}", HERE)
    assert access.caller("hers", HERE).owner == "oidc:ada"
    # Tokens are new every hour.
    assert access.caller("renewed", HERE).owner == "oidc:ada"


def test_uploads_do_not_use_up_what_requests_may(keys: Keys) -> None:
    access = Access(load_settings(None, requests_per_minute=2, uploads_per_minute=2), keys)
    caller = access.caller(None, HERE)
    access.count_upload(caller)
    access.caller(None, HERE)


def test_requests_are_counted_by_owner(keys: Keys) -> None:
    access = Access(load_settings(None, requests_per_minute=3), keys)
    for _ in range(3):
        access.caller(None, HERE)
    with pytest.raises(Refusal, match="at most 3 a minute") as refused:
        access.caller(None, HERE)
    assert refused.value.status == 429
    assert refused.value.retry_after > 0


def test_jobs_stay_whose_they_were_when_a_key_is_rotated(keys: Keys) -> None:
    old = keys.add("lab", ["read"], 30)
    access = Access(load_settings(None, require_keys=True), keys)
    owner = access.caller(old, HERE).owner
    new = keys.rotate(owner)
    assert access.caller(new, HERE).owner == owner
    with pytest.raises(Refusal, match="not revoked"):
        access.caller(old, HERE)
    (key,) = keys.all()
    assert key.expires_at is not None
    assert key.expires_at - key.created_at == pytest.approx(30 * 86_400)
    keys.revoke(owner)
    assert access.caller(keys.rotate(owner), HERE).owner == owner
    with pytest.raises(ConfigError, match="a key must exist to be rotated"):
        keys.rotate("nope")


def test_keys_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n")
    options = ["--config", str(config)]
    assert main(["keys", *options, "add", "--name", "lab", "--scope", "read", "--days", "7"]) == 0
    secret = capsys.readouterr().out.strip()
    key_id = secret.split("_")[1]
    assert main(["keys", *options, "list"]) == 0
    listed = capsys.readouterr().out
    assert "lab" in listed
    assert secret not in listed
    assert main(["keys", *options, "rotate", key_id]) == 0
    assert capsys.readouterr().out.startswith(f"fm_{key_id}_")
    assert main(["keys", *options, "revoke", key_id]) == 0
    assert main(["keys", *options, "revoke", "nope"]) == 2
    assert "a key must exist" in capsys.readouterr().err
    assert main(["keys", *options, "list"]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["audit", *options, "--last", "2"]) == 0
    rotated, revoked = capsys.readouterr().out.splitlines()[1:]
    assert "key rotated" in rotated
    assert "key revoked" in revoked
    assert key_id in revoked


@pytest.mark.parametrize("days", ["nan", "inf", "0", "-1", "40000"])
def test_a_key_ends_at_a_time_that_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: str
) -> None:
    options = ["--data-dir", str(tmp_path / "data")]
    assert main(["keys", *options, "add", "--name", "lab", f"--days={days}"]) == 2
    assert "--days: must be more than 0 and at most 36500" in capsys.readouterr().err
    assert main(["keys", *options, "list"]) == 0


def test_what_a_caller_wrote_does_not_steer_the_terminal(
    keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.add("\x1b[2Jlab", ["read"], None)
    assert main(["keys", "--data-dir", str(tmp_path), "list"]) == 0
    assert r"\x1b[2Jlab" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nmodel: t1-opne\n")
    assert main(["serve", "--config", str(config)]) == 2
    assert f"{config}, key model: must be the folder of a bundle" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_default_model_may_lie_in_the_folder_of_models(tmp_path: Path) -> None:
    shutil.copytree(shipped_folder() / "t1-open", tmp_path / "ours")
    require_model(load_settings(None, model="ours", models_dir=tmp_path), None)
    with pytest.raises(BundleError, match="must be the folder of a bundle"):
        require_model(load_settings(None, model="theirs", models_dir=tmp_path), None)


def test_an_address_that_is_taken_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--data-dir", str(tmp_path / "data"), "--port", port]) == 2
    assert f"{HERE}, port {port}: the service must be able to listen" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_ledger_is_its_owners_alone_in_any_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert main(["keys", "--data-dir", str(tmp_path), "list"]) == 0
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port: 99999", r"serve.yaml, key port: .*less than or equal to 65535 \(found: 99999\)"),
        ("prot: 80", r"serve.yaml, key prot: there is no such key; is it port\?"),
        ("oidc: {issuer: a}", r"serve.yaml, key oidc.audience: the key must be there"),
        ("[1, 2]", "mapping of keys"),
        ("a: [", "readable YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(path)


def test_a_wrong_setting_is_named_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("port: 9000\n")
    with pytest.raises(ConfigError, match=r"^--port: "):
        load_settings(path, port=99999)
    monkeypatch.setenv("FIBROMORPH_SERVE_PORT", "99999")
    with pytest.raises(ConfigError, match=r"^FIBROMORPH_SERVE_PORT: "):
        load_settings(path)


def test_passwords_in_wrong_settings_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("databaseurl: postgresql://fm:hunter2@db/fm")
    with pytest.raises(ConfigError, match="databaseurl") as refused:
        load_settings(path)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="percent-encoded") as refused:
        Database("postgresql://fm:a@b:hunter2@db/fm")
    assert "hunter2" not in str(refused.value)


def test_the_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("port: 9000\nworkers: 3\n")
    monkeypatch.setenv("FIBROMORPH_SERVE_PORT", "9100")
    settings = load_settings(path)
    assert (settings.port, settings.workers) == (9100, 3)
    assert load_settings(path, port=9200).port == 9200


def test_keys_of_a_service_without_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, before = ["--data-dir", str(tmp_path / "a")], ["--data-dir", str(tmp_path / "b")]
    assert main(["keys", "add", "--name", "lab", *own]) == 0
    assert main(["keys", *before, "list"]) == 0
    assert "lab" not in capsys.readouterr().out.splitlines()[-1]
    assert main(["keys", *own, "list"]) == 0
    assert "lab" in capsys.readouterr().out
