"""The key that signs bundles: made once, the same for all gateways, never shown, replaced without a device noticing."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.accounts.keys import new_key
from control_plane.audit.service import AuditTrail
from control_plane.config import ControlConfig
from control_plane.database import Database
from control_plane.policy_bundles.errors import SigningKeyError
from control_plane.policy_bundles.replace_key import main, prepare_key, replace_key
from control_plane.policy_bundles.signing_key import open_signing_key, read_signing_key, write_signing_key
from control_plane.seat import seated
from edgewise.signing import PRIVATE, Ed25519Signer, PublicKey
from edgewise.wire.errors import ConflictError


async def opened(database: Database, path: Path) -> Ed25519Signer:
    return await open_signing_key(path, database, AuditTrail(database))


async def test_the_first_start_makes_one_key_that_only_its_owner_reads(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "new" / "policy.key"
    first = await opened(database, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await opened(database, path)).key_id == first.key_id
    (entry, *_) = await AuditTrail(database).page()
    assert (entry.action, entry.after) == ("policy.key", first.public.text)


async def test_a_key_that_an_operator_put_there_is_taken(database: Database, tmp_path: Path) -> None:
    path, own = tmp_path / "policy.key", Ed25519Signer.new()
    write_signing_key(path, own)
    assert (await opened(database, path)).key_id == own.key_id


async def test_a_gateway_without_the_fleets_key_does_not_start(database: Database, tmp_path: Path) -> None:
    first = await opened(database, tmp_path / "a.key")
    with pytest.raises(SigningKeyError, match="no signing key") as raised:
        await opened(database, tmp_path / "b.key")
    assert first.key_id in raised.value.expected and "copy the file" in raised.value.remedy
    assert not (tmp_path / "b.key").exists()


async def test_a_gateway_with_another_key_does_not_start(database: Database, tmp_path: Path) -> None:
    first = await opened(database, tmp_path / "a.key")
    write_signing_key(tmp_path / "b.key", Ed25519Signer.new())
    with pytest.raises(SigningKeyError, match="not the fleet's") as raised:
        await opened(database, tmp_path / "b.key")
    assert first.key_id in raised.value.expected and "EDGEWISE_POLICY_SIGNING_KEY" in raised.value.remedy


async def test_two_first_starts_at_once_leave_one_key(database: Database, tmp_path: Path) -> None:
    paths = [tmp_path / "a.key", tmp_path / "b.key"]
    found = await asyncio.gather(*(opened(database, path) for path in paths), return_exceptions=True)
    signers = [each for each in found if isinstance(each, Ed25519Signer)]
    faults = [each for each in found if isinstance(each, SigningKeyError)]
    assert (len(signers), len(faults)) == (1, 1)
    kept = [path for path in paths if path.exists()]
    assert len(kept) == 1 and (await opened(database, kept[0])).key_id == signers[0].key_id


async def test_the_second_of_two_first_starts_leaves_no_key_behind(database: Database, tmp_path: Path) -> None:
    class Overtaken(Database):
        """Another gateway registers its key between our look and our lock."""

        @asynccontextmanager
        async def session(self, *, lock: str = "") -> AsyncIterator[AsyncSession]:
            await opened(database, tmp_path / "first.key")
            async with super().session(lock=lock) as session:
                yield session

    late = Overtaken(database.url.render_as_string(hide_password=False))
    with pytest.raises(SigningKeyError, match="no signing key"):
        await opened(late, tmp_path / "second.key")
    await late.close()
    assert [path.name for path in tmp_path.glob("*.key")] == ["first.key"]


async def test_two_first_starts_with_one_file_agree(database: Database, tmp_path: Path) -> None:
    found = await asyncio.gather(*(opened(database, tmp_path / "a.key") for _ in range(2)))
    assert found[0].key_id == found[1].key_id


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"ed25519-private:AAAA", b"ed25519:AAAA", new_key().encode()],
    ids=["empty", "no-ascii", "short", "public", "a-node-key"],
)
def test_a_damaged_file_is_named_and_its_content_is_not(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.key"
    path.write_bytes(content)
    with pytest.raises(SigningKeyError) as raised:
        read_signing_key(path)
    assert str(path) in str(raised.value) and "replace_key" in raised.value.remedy
    assert not content or content.decode(errors="replace") not in str(raised.value).replace(PRIVATE, "")


def test_a_key_that_everybody_may_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, signer = tmp_path / "policy.key", Ed25519Signer.new()
    write_signing_key(path, signer)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_signing_key(path)
    assert "chmod 600" in caplog.text and signer.private_text() not in caplog.text


def test_a_key_file_is_never_written_over(tmp_path: Path) -> None:
    path, signer = tmp_path / "policy.key", Ed25519Signer.new()
    write_signing_key(path, signer)
    with pytest.raises(FileExistsError):
        write_signing_key(path, Ed25519Signer.new())
    assert path.read_text() == signer.private_text() + "\n"


async def test_a_prepared_key_takes_the_place_of_the_present_one(database: Database, tmp_path: Path) -> None:
    config = ControlConfig(data_dir=tmp_path, database_url=database.url.render_as_string(hide_password=False))
    before = await opened(database, config.policy_key_file)
    prepared = prepare_key(config.policy_key_file)
    assert prepare_key(config.policy_key_file) == prepared
    assert (await opened(database, config.policy_key_file)).key_id == before.key_id
    assert await replace_key(config) == prepared
    assert (await opened(database, config.policy_key_file)).public == prepared
    old = read_signing_key(tmp_path / "policy-signing.key.old")
    assert old is not None and old.key_id == before.key_id
    assert await replace_key(config) != prepared
    assert {path.name for path in tmp_path.glob("*.old*")} == {"policy-signing.key.old", "policy-signing.key.old2"}
    kept = read_signing_key(tmp_path / "policy-signing.key.old")
    assert kept is not None and kept.key_id == before.key_id


async def test_a_replacement_that_broke_off_is_taken_up_and_no_third_key_is_made(
    database: Database, tmp_path: Path
) -> None:
    config = ControlConfig(data_dir=tmp_path, database_url=database.url.render_as_string(hide_password=False))
    path = config.policy_key_file
    before, prepared = await opened(database, path), prepare_key(path)
    path.rename(path.with_name(path.name + ".old"))  # broke off between the two files
    assert await replace_key(config) == prepared
    later = prepare_key(path)
    path.rename(path.with_name(path.name + ".old2"))  # broke off before the registration
    path.with_name(path.name + ".next").rename(path)
    assert await replace_key(config) == later
    assert (await opened(database, path)).public == later
    kept = [read_signing_key(tmp_path / name) for name in ("policy-signing.key.old", "policy-signing.key.old2")]
    assert [each and each.public for each in kept] == [before.public, prepared]
    assert not path.with_name(path.name + ".next").exists()


async def test_a_damaged_key_can_be_replaced(database: Database, tmp_path: Path) -> None:
    config = ControlConfig(data_dir=tmp_path, database_url=database.url.render_as_string(hide_password=False))
    signer = await opened(database, config.policy_key_file)
    write_signing_key(tmp_path / "policy-signing.key.old", signer)
    config.policy_key_file.write_text("noise")
    public = await replace_key(config)
    assert (await opened(database, config.policy_key_file)).public == public


async def test_no_key_is_replaced_under_a_running_gateway(database: Database, tmp_path: Path) -> None:
    config = ControlConfig(data_dir=tmp_path, database_url=database.url.render_as_string(hide_password=False))
    with seated(tmp_path), pytest.raises(ConflictError, match="gateway runs"):
        await replace_key(config)


def test_the_command_prints_the_public_key_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["replace_key", "--data-dir", str(tmp_path), "--prepare"])
    main()
    shown = capsys.readouterr().out
    assert PublicKey.read(shown.splitlines()[0]) == prepare_key(tmp_path / "policy-signing.key")
    assert PRIVATE not in shown
