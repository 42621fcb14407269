"""Molecules: canonical SMILES in and out, symbols between, and what is no molecule refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmgen.core.codec import Lossless
from mmgen.core.errors import LoadError, MissingDependency
from mmgen.modalities import molecules
from mmgen.modalities.molecules import MoleculeEncoder, MoleculeTokens
from mmgen.modalities.molecules.smiles import split_smiles

Chem = pytest.importorskip("rdkit.Chem")

NAMES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "l-alanine": "C[C@H](N)C(=O)O",
    "fumaric acid": "OC(=O)/C=C/C(=O)O",
    "maleic acid": "OC(=O)/C=C\\C(=O)O",
    "2-butene": "CC=CC",
    "morphine": "CN1CC[C@]23[C@@H]4[C@H]1CC5=C2C(=C(C=C5)O)O[C@H]3[C@H](C=C4)O",
    "acetate": "[Na+].CC([O-])=O",
    "thiophene amide": "CCN(Cc1ccc(OC)c(OC)c1)C(=O)c1ccsc1",
    "ammonium": "CN1C[C@@H]([NH2+][C@H](c2cccs2)C2CC2)CC1=O",
    "halogens": "FC(Cl)(Br)I",
    "nitrile": "N#Cc1cc[nH]c1",
    "sulfoxide": "C[S@](=O)c1ccccc1",
    "deuterated": "[2H]C([2H])([2H])O",
}
MOLECULES = list(NAMES.values())
CANONICAL = [molecules.canonical(s) for s in MOLECULES]


@pytest.fixture(scope="module")
def codec() -> MoleculeTokens:
    codec = MoleculeTokens(capacity=64, max_length=64)
    codec.fit(MOLECULES)
    return codec


def _again(codec: MoleculeTokens, values: list) -> list[str]:
    return codec.present(codec.decode(codec.encode(codec.prepare(values))))


def test_symbols_joined_are_the_smiles() -> None:
    for smiles in MOLECULES + CANONICAL:
        assert "".join(split_smiles(smiles)) == smiles
    assert split_smiles("C[C@@H](Cl)%12Br") == ["C", "[C@@H]", "(", "Cl", ")", "%12", "Br"]
    assert split_smiles("[NH3]->[Fe]%(100)") == ["[NH3]", "->", "[Fe]", "%(100)"]


@pytest.mark.parametrize(("smiles", "place"), [("CC!", 2), ("C C", 1), ("[C", 0), ("CC\n", 2)])
def test_characters_of_no_symbol_are_named(smiles: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"at place {place} begins no atom"):
        split_smiles(smiles)


def test_molecules_come_back_canonical(codec: MoleculeTokens) -> None:
    assert _again(codec, MOLECULES) == CANONICAL
    assert _again(codec, CANONICAL) == CANONICAL
    assert _again(codec, [Chem.MolFromSmiles(s) for s in MOLECULES]) == CANONICAL
    other = [Chem.MolToSmiles(Chem.MolFromSmiles(s), doRandom=True) for s in MOLECULES]
    assert _again(codec, other) == CANONICAL
    assert molecules.canonical("OCC") == molecules.canonical("C(O)C") == "CCO"
    assert molecules.canonical(Chem.AddHs(Chem.MolFromSmiles("OCC"))) == "CCO"


def test_mirror_images_and_salts_stay_what_they_are() -> None:
    assert molecules.canonical("C[C@H](N)O") != molecules.canonical("C[C@@H](N)O")
    assert "." in molecules.canonical(NAMES["acetate"])


def test_selfies_come_back_too() -> None:
    pytest.importorskip("selfies")
    codec = MoleculeTokens(molecules.SELFIES, capacity=64, max_length=64)
    codec.fit(MOLECULES)
    assert _again(codec, MOLECULES) == CANONICAL
    assert codec.raw(codec.prepare(["CCO"])) == ["[C][C][O]"]
    rows = torch.randint(len(codec.vocabulary.symbols), (200, 24))
    drawn = codec.present({"ids": rows, "lengths": torch.full((200,), 24)})
    assert molecules.validity([d for d in drawn if d]) > 0.95


def test_the_basis_of_selfies_is_its_index_alphabet() -> None:
    constants = pytest.importorskip("selfies.constants")
    assert set(molecules.SELFIES.basis) == set(constants.INDEX_ALPHABET)


def test_latents_are_tokens_of_a_fixed_vocabulary(codec: MoleculeTokens) -> None:
    latent = codec.encode(codec.prepare(MOLECULES))
    codec.spec.check(latent.z)
    assert codec.spec.vocabulary == 64 and codec.spec.varies and isinstance(codec, Lossless)
    assert int(latent.z.max()) < len(codec.vocabulary.symbols) < 64
    for row, length in zip(latent.z, latent.lengths, strict=True):
        assert not row[length:].any()


def test_what_is_no_molecule_is_shown_as_it_was_drawn(codec: MoleculeTokens) -> None:
    ids = codec.vocabulary.ids(list("C1CC"))
    tensors = {"ids": torch.tensor([ids, [63, *ids[:1], 0, 0]]), "lengths": torch.tensor([4, 2])}
    assert codec.present(tensors) == codec.raw(tensors) == ["C1CC", "[?]C"]
    assert [molecules.is_valid(s) for s in codec.present(tensors)] == [False, False]
    assert codec.present({"ids": torch.zeros(1, 1), "lengths": torch.tensor([0])}) == [""]


def test_validity_is_a_share() -> None:
    assert molecules.validity(["CCO", "C1CC", "", "c1ccccc1"]) == 0.5
    assert not molecules.is_valid("CN(C)(C)(C)C")
    with pytest.raises(ValueError, match="at least one"):
        molecules.validity([])
    with pytest.raises(TypeError, match="got one string"):
        molecules.validity("CCO")
    with pytest.raises(TypeError, match="got int"):
        molecules.is_valid(3)


BAD = [
    (3, TypeError, "Expected SMILES .str. or an RDKit molecule, got int"),
    (None, TypeError, "got NoneType"),
    (b"CCO", TypeError, "got bytes"),
    (["CCO"], TypeError, "got list"),
    ("", ValueError, "empty"),
    (" ", ValueError, "' ' at place 0"),
    ("CCO ethanol", ValueError, "' ' at place 3"),
    ("aspirin", ValueError, "'a' at place 0"),
    ("CN(C)(C)(C)C", ValueError, "no molecule: Explicit valence for atom # 1 N, 5"),
    ("c1cccc1", ValueError, "no molecule: Can't kekulize"),
    ("C[Xx]C", ValueError, r"there is no atom '\[Xx\]'"),
    ("C1CC", ValueError, "ring '1' is opened and not closed"),
    ("C(C", ValueError, r"it has 1 '\(' and 0 '\)'"),
    ("C==C", ValueError, "no molecule"),
    ("C" * 6000, ValueError, "at most 5000 characters, got 6000"),
    ("C" * 65, ValueError, "at most 64 symbols of SMILES, got 65"),
    ("[Au]", ValueError, r"The symbol '\[Au\]' was in none of the molecules"),
    (Chem.Mol(), ValueError, "empty"),
]


@pytest.mark.parametrize(("value", "error", "message"), BAD)
def test_bad_molecules_are_refused(
    codec: MoleculeTokens, value: object, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        codec.prepare(["CCO", value])


PIECES = st.sampled_from(
    [*"CNOPScnos()=#-/\\.123%[]@+:*$~>? ", "[nH]", "Cl", "[C@H]", "[13C]", "%10"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.lists(PIECES, max_size=14).map("".join),
        st.text(max_size=12),
        st.binary(max_size=4),
        st.integers(),
        st.lists(st.none(), max_size=2),
    )
)
@example("(" * 4000)
@example("C1" * 2000)
@example("[" + "9" * 400 + "C]")
@example("C%(99999)C%(99999)")
def test_any_value_is_a_molecule_or_refused_clearly(value: object) -> None:
    try:
        found = molecules.canonical(value)
    except (TypeError, ValueError) as error:
        assert str(error)
    else:
        assert found and molecules.is_valid(found)


def test_symbols_are_learnt_once_for_all(codec: MoleculeTokens) -> None:
    other = MoleculeTokens(capacity=64, max_length=64)
    assert codec.fitted and not other.fitted
    with pytest.raises(LoadError, match="no symbols yet"):
        other.prepare(["CCO"])
    other.load_assets(codec.assets())
    assert torch.equal(other.prepare(MOLECULES)["ids"], codec.prepare(MOLECULES)["ids"])
    shuffled = MoleculeTokens(capacity=64, max_length=64)
    shuffled.fit(MOLECULES[::-1])
    assert shuffled.assets() == codec.assets()


def test_what_does_not_fit_is_refused(codec: MoleculeTokens) -> None:
    with pytest.raises(LoadError, match=r"needs symbols\.txt"):
        codec.load_assets({})
    with pytest.raises(LoadError, match="Expected a list of 1 to 40 symbols"):
        MoleculeTokens(capacity=40).load_assets(codec.assets())
    for data in (b"", b"C\n\nN", b"C\nC", b"\xff", b"C\rN"):
        with pytest.raises(LoadError, match="Expected a list of 1 to 64 symbols"):
            MoleculeTokens().load_assets({"symbols.txt": data})
    with pytest.raises(ValueError, match="at most 34 symbols, the examples have .* the rarest are"):
        MoleculeTokens(capacity=34).fit(MOLECULES)
    with pytest.raises(ValueError, match="capacity of at least .*got 3 and 128"):
        MoleculeTokens(capacity=3)


def test_parts_by_size() -> None:
    assert molecules.codec("debug").spec.vocabulary == 64
    assert molecules.codec("small").spec.max_length == 128
    assert molecules.encoder("debug").spec.token_dim == 32
    assert molecules.encoder("small").spec.token_dim == 128


def test_a_molecule_is_a_condition_whatever_its_string() -> None:
    encoder = MoleculeEncoder.debug().eval()
    c = encoder.encode(encoder.prepare(["CCO", None, "C[C@H](N)C(=O)O"]))
    assert c.tokens.shape[-1] == 32 and c.mask.sum(1).tolist() == [3, 1, 11]
    assert torch.equal(c.tokens[1, 0], encoder.sequence.null)
    alone = encoder.encode(encoder.prepare([Chem.MolFromSmiles("OCC")]))
    assert (alone.tokens[0] - c.tokens[0]).abs().max() < 1e-5
    dropped = encoder.encode(encoder.drop(encoder.prepare(["CCO"]), rate=1.0))
    assert torch.equal(dropped.tokens[0, 0], encoder.sequence.null)


def test_gradients_reach_the_encoder_and_its_vocabulary_is_saved() -> None:
    encoder = MoleculeEncoder.debug()
    other = MoleculeEncoder(capacity=40, dim=32, depth=1, num_heads=2)
    assert encoder.fitted and not other.fitted
    with pytest.raises(LoadError, match="no symbols yet"):
        other.prepare(["CCO"])
    other.load_assets(encoder.assets())
    c = other.encode(other.prepare(["CCO", None]))
    c.tokens.square().sum().backward()
    assert not [n for n, p in other.named_parameters() if p.grad is None or not p.grad.any()]
    with pytest.raises(ValueError, match="at most 128 symbols of SMILES, got 200"):
        other.prepare(["C" * 200])
    with pytest.raises(ValueError, match=r"'\[Au\]' was in none"):
        other.prepare(["[Au]"])


def test_without_rdkit_only_what_needs_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    assert split_smiles("CCO") == ["C", "C", "O"]
    for call in (molecules.canonical, molecules.is_valid, molecules.properties):
        with pytest.raises(MissingDependency, match=r"needs rdkit.*mmgen-sdk\[molecules\]"):
            call("CCO")
    with pytest.raises(ValueError, match="empty"):
        molecules.canonical("")


def test_without_selfies_only_selfies_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selfies", None)
    codec = MoleculeTokens(molecules.SELFIES)
    with pytest.raises(MissingDependency, match="needs selfies"):
        codec.fit(["CCO"])


def test_properties_have_the_known_values() -> None:
    found = molecules.properties(NAMES["aspirin"])
    assert found["molecular_weight"] == pytest.approx(180.16, abs=0.01)
    assert found["tpsa"] == pytest.approx(63.60, abs=0.01)
    assert found["log_p"] == pytest.approx(1.31, abs=0.01)
    assert found["qed"] == pytest.approx(0.550, abs=0.001)
    assert (found["num_rings"], found["num_heavy_atoms"]) == (1.0, 13.0)
    assert all(type(v) is float for v in found.values())
    assert molecules.properties("[NH4+]", ["formal_charge"]) == {"formal_charge": 1.0}
    with pytest.raises(ValueError, match="Did you mean 'log_p'"):
        molecules.properties("CCO", ["logp"])
    with pytest.raises(ValueError, match="not closed"):
        molecules.properties("C1CC")


def test_a_codec_by_size_takes_its_symbols_from_data(tmp_path: Path) -> None:
    codec = molecules.codec("debug")
    assert not codec.fitted
    codec.fit(MOLECULES)
    path = molecules.save_many(codec.present(codec.prepare(MOLECULES)), tmp_path / "a.smi")
    assert molecules.load_many(path) == CANONICAL
