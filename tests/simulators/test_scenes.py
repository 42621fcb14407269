"""The scene simulator draws what it says, and its judge is right on right and on wrong images."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mmgen.simulators.scenes import (
    BACKGROUNDS,
    COLOURS,
    PAIRS_UNSEEN,
    SHAPES,
    SIZES,
    Caption,
    Claim,
    Scene,
    Thing,
    check,
    describe,
    judge,
    read,
    render,
    sample_scene,
    vocabulary,
    whole,
)

NUM = 300


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(0)
    return [sample_scene(rng, pairs="any") for _ in range(NUM)]


@pytest.fixture(scope="module")
def images(scenes: list[Scene]) -> list[np.ndarray]:
    return [render(scene) for scene in scenes]


@pytest.fixture(scope="module")
def captions(scenes: list[Scene]) -> list[Caption]:
    rng = np.random.default_rng(1)
    return [describe(scene, rng) for scene in scenes]


def _noisy(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    return (image + rng.normal(0, sigma, image.shape)).clip(0, 255).round().astype(np.uint8)


def _blurred(image: np.ndarray, times: int) -> np.ndarray:
    """Blur by (1, 2, 1) / 4 along both axes, `times` over: sqrt(times / 2) px."""
    blurred = image.astype(np.float64)
    for _ in range(times):
        for axis in (0, 1):
            padded = np.pad(blurred, [(int(i == axis),) * 2 for i in range(3)], mode="edge")
            parts = [padded.take(range(k, k + 64), axis=axis) for k in range(3)]
            blurred = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return blurred.round().astype(np.uint8)


def _equal(scene: Scene, other: Scene, tolerance: float = 1.5) -> bool:
    """Same background and things, in any order, with centres within `tolerance` px."""

    def matches(one: Thing, two: Thing) -> bool:
        looks = (one.shape, one.colour, one.size) == (two.shape, two.colour, two.size)
        return looks and np.hypot(one.x - two.x, one.y - two.y) <= tolerance

    if scene.background != other.background or len(scene.things) != len(other.things):
        return False
    return any(
        all(map(matches, scene.things, order)) for order in itertools.permutations(other.things)
    )


def _share_satisfied(images: list[np.ndarray], captions: list[Caption]) -> float:
    verdicts = [judge(image, caption) for image, caption in zip(images, captions, strict=True)]
    return float(np.mean([verdict.satisfied for verdict in verdicts]))


# Sampling


def test_one_fifth_of_pairs_is_unseen_and_every_part_is_seen() -> None:
    assert len(PAIRS_UNSEEN) == round(len(COLOURS) * len(SHAPES) / 5)
    colours, shapes = zip(*PAIRS_UNSEEN, strict=True)
    assert all(colours.count(colour) <= 2 for colour in COLOURS)
    assert all(shapes.count(shape) <= 2 for shape in SHAPES)


def test_pairs_are_seen_or_unseen_as_asked() -> None:
    rng = np.random.default_rng(2)

    def pairs(which: str) -> list[set[tuple[str, str]]]:
        scenes = [sample_scene(rng, pairs=which) for _ in range(1000)]
        return [{(thing.colour, thing.shape) for thing in scene.things} for scene in scenes]

    seen = set().union(*pairs("seen"))
    assert not seen & PAIRS_UNSEEN
    assert len(seen) == len(COLOURS) * len(SHAPES) - len(PAIRS_UNSEEN)
    unseen = pairs("unseen")
    assert all(len(scene & PAIRS_UNSEEN) == 1 for scene in unseen)
    assert set().union(*unseen) >= PAIRS_UNSEEN
    assert len(set().union(*pairs("any"))) == len(COLOURS) * len(SHAPES)


def test_scenes_have_the_stated_statistics() -> None:
    rng = np.random.default_rng(3)
    scenes = [sample_scene(rng) for _ in range(4000)]
    counts = np.bincount([len(scene.things) for scene in scenes], minlength=4) / len(scenes)
    assert np.allclose(counts, [0, 0.35, 0.45, 0.20], atol=0.03)
    for background in BACKGROUNDS:
        assert abs(np.mean([s.background == background for s in scenes]) - 0.25) < 0.03
    large = [thing.size == "large" for scene in scenes for thing in scene.things]
    assert abs(np.mean(large) - 0.5) < 0.04
    several = [[(t.colour, t.shape) for t in s.things] for s in scenes if len(s.things) > 1]
    assert 0.04 < np.mean([len(set(looks)) < len(looks) for looks in several]) < 0.09


def test_things_lie_inside_and_apart(scenes: list[Scene]) -> None:
    for scene in scenes:
        for thing in scene.things:
            assert thing.radius + 1 <= min(thing.x, thing.y)
            assert max(thing.x, thing.y) <= 63 - thing.radius
        for one, two in itertools.combinations(scene.things, 2):
            gap = max(abs(one.x - two.x), abs(one.y - two.y)) - one.radius - two.radius
            assert gap >= 3 - 1e-9


@pytest.mark.parametrize("num_things", [1, 2, 3])
def test_number_of_things_can_be_fixed(num_things: int) -> None:
    scene = sample_scene(np.random.default_rng(4), num_things=num_things)
    assert len(scene.things) == num_things


def test_wrong_arguments_say_what_was_expected() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="'seen', 'unseen' or 'any'; got 'all'"):
        sample_scene(rng, pairs="all")
    with pytest.raises(ValueError, match="1, 2 or 3; got 4"):
        sample_scene(rng, num_things=4)


# Rendering


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [6.0, 12.5])
def test_shapes_fill_their_box_and_no_more(shape: str, radius: float) -> None:
    thing = Thing(shape, "red", "small", 32.3, 31.6, radius)
    image = render(Scene((thing,), "black")).astype(int)
    assert image.shape == (64, 64, 3)
    painted = np.abs(image - BACKGROUNDS["black"]).sum(-1) > 0
    rows, columns = np.nonzero(painted)
    # A pixel further at the tips, where half-plane coverage of a corner runs over.
    assert columns.min() >= 32.3 - radius - 2
    assert columns.max() <= 32.3 + radius + 1
    assert rows.min() >= 31.6 - radius - 2
    assert rows.max() <= 31.6 + radius + 1
    assert np.ptp(columns) >= 1.7 * radius
    assert np.ptp(rows) >= 1.6 * radius


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_anti_aliased_and_colours_exact(shape: str) -> None:
    image = render(Scene((Thing(shape, "green", "large", 32.3, 31.6, 11.4),), "white"))
    colours = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert {COLOURS["green"], BACKGROUNDS["white"]} <= colours
    assert len(colours) >= 6


def test_area_of_a_circle_is_exact_at_any_size() -> None:
    scene = Scene((Thing("circle", "red", "large", 30.2, 31.7, 11.0),), "black")
    for size in (32, 64, 128):
        red = render(scene, size)[..., 0].astype(float)
        area = (red - BACKGROUNDS["black"][0]).sum() / (COLOURS["red"][0] - BACKGROUNDS["black"][0])
        assert area == pytest.approx(np.pi * (11 * size / 64) ** 2, rel=0.01)


# Captions


def test_a_seed_decides_scene_and_caption() -> None:
    def draw(seed: int) -> list[tuple[Scene, Caption]]:
        rng = np.random.default_rng(seed)
        return [(scene, describe(scene, rng)) for scene in (sample_scene(rng) for _ in range(50))]

    assert draw(6) == draw(6)
    assert draw(6) != draw(7)


def test_captions_are_true_of_their_scene_and_complete() -> None:
    rng = np.random.default_rng(8)
    kinds = set()
    for _ in range(3000):
        scene = sample_scene(rng, pairs="any")
        caption = describe(scene, rng)
        assert check(scene, caption).satisfied, caption
        stated = [claim.kind for claim in caption.claims]
        assert stated.count("colour") == stated.count("shape") == len(scene.things)
        assert stated.count("count") == 1
        kinds |= set(stated)
    assert kinds == {"count", "shape", "colour", "size", "place", "background", "relation"}


def test_captions_are_plain_lowercase_english_of_a_closed_vocabulary() -> None:
    rng = np.random.default_rng(9)
    words = set()
    for _ in range(3000):
        text = describe(sample_scene(rng, pairs="any"), rng).text
        assert text == text.lower().strip()
        assert "  " not in text
        tokens = text.replace(",", "").split()
        for article, word in itertools.pairwise(tokens):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou"), text
        words |= set(tokens)
    assert words <= set(vocabulary())
    assert len(vocabulary()) - len(words) <= 3


RED = Thing("circle", "red", "small", 15, 30, 7)
BLUE = Thing("square", "blue", "large", 45, 32, 11)


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a red circle left of a blue square", (RED, BLUE)),
        ("a green star", (replace(RED, shape="star", colour="green"),)),
        ("two blue squares", (BLUE, replace(BLUE, x=15))),
        (
            "three red circles",
            (RED, replace(RED, x=40), replace(RED, x=40, y=10)),
        ),
    ],
)
def test_the_captions_of_the_readme_can_be_drawn(text: str, things: tuple[Thing, ...]) -> None:
    rng = np.random.default_rng(10)
    scene = Scene(things, "white")
    drawn = {caption.text: caption for caption in (describe(scene, rng) for _ in range(2000))}
    assert text in drawn
    assert judge(render(scene), drawn[text]).satisfied


# The judge, on right images


def test_judge_reads_the_simulators_own_images(
    scenes: list[Scene], images: list[np.ndarray], captions: list[Caption]
) -> None:
    assert np.mean([*map(_equal, scenes, map(read, images))]) >= 0.995
    assert _share_satisfied(images, captions) >= 0.995


def test_judge_bears_light_noise(
    scenes: list[Scene], images: list[np.ndarray], captions: list[Caption]
) -> None:
    rng = np.random.default_rng(11)
    noisy = [_noisy(image, rng, 6) for image in images]
    assert np.mean([*map(_equal, scenes, map(read, noisy))]) >= 0.995
    assert _share_satisfied(noisy, captions) >= 0.995


def test_judge_bears_soft_edges(images: list[np.ndarray], captions: list[Caption]) -> None:
    rng = np.random.default_rng(12)
    soft = [_noisy(_blurred(image, 1), rng, 4) for image in images]
    assert _share_satisfied(soft, captions) >= 0.98


# The judge, on wrong images


def _other(rng: np.random.Generator, names: tuple[str, ...], name: str) -> str:
    rest = [one for one in names if one != name]
    return rest[rng.integers(len(rest))]


def _repaint(rng: np.random.Generator, scene: Scene) -> Scene:
    first, *rest = scene.things
    return replace(
        scene, things=(replace(first, colour=_other(rng, tuple(COLOURS), first.colour)), *rest)
    )


def _reshape(rng: np.random.Generator, scene: Scene) -> Scene:
    first, *rest = scene.things
    return replace(scene, things=(replace(first, shape=_other(rng, SHAPES, first.shape)), *rest))


def _drop(rng: np.random.Generator, scene: Scene) -> Scene:
    return replace(scene, things=scene.things[1:])


def _add(rng: np.random.Generator, scene: Scene) -> Scene:
    """Another thing like the first, where there is room for it."""
    first = replace(scene.things[0], radius=6.0)
    for x, y in itertools.product(range(7, 58, 5), repeat=2):
        gaps = [max(abs(x - t.x), abs(y - t.y)) - t.radius - 6 for t in scene.things]
        if min(gaps) >= 3:
            return replace(scene, things=(*scene.things, replace(first, x=x, y=y)))
    raise AssertionError("the canvas is full")


@pytest.mark.parametrize("spoil", [_repaint, _reshape, _drop, _add])
def test_judge_rejects_wrong_things(
    spoil: Callable[[np.random.Generator, Scene], Scene],
    scenes: list[Scene],
    captions: list[Caption],
) -> None:
    rng = np.random.default_rng(13)
    wrong = [render(spoil(rng, scene)) for scene in scenes[:150]]
    assert _share_satisfied(wrong, captions[:150]) == 0


def _stated(captions: list[Caption], kind: str) -> list[int]:
    return [i for i, c in enumerate(captions) if any(claim.kind == kind for claim in c.claims)]


def test_judge_rejects_mirrored_relations(scenes: list[Scene], captions: list[Caption]) -> None:
    chosen = _stated(captions, "relation")
    assert len(chosen) > 75

    def turn(thing: Thing) -> Thing:
        return replace(thing, x=64 - thing.x, y=64 - thing.y)

    def looks(scene: Scene) -> set[tuple[str, str]]:
        return {(thing.colour, thing.shape) for thing in scene.things}

    # A blue square left of another one stays so when turned.
    chosen = [i for i in chosen if len(looks(scenes[i])) == len(scenes[i].things)]
    turned = [replace(scenes[i], things=tuple(map(turn, scenes[i].things))) for i in chosen]
    assert _share_satisfied([*map(render, turned)], [captions[i] for i in chosen]) == 0


def test_judge_rejects_wrong_backgrounds_and_sizes_and_places(
    scenes: list[Scene], captions: list[Caption]
) -> None:
    rng = np.random.default_rng(14)
    chosen = _stated(captions, "background")
    wrong = [
        replace(scenes[i], background=_other(rng, tuple(BACKGROUNDS), scenes[i].background))
        for i in chosen
    ]
    assert _share_satisfied([*map(render, wrong)], [captions[i] for i in chosen]) == 0
    radii = {"small": 11.0, "large": 7.0}
    chosen = [i for i in _stated(captions, "size") if len(scenes[i].things) == 1]
    wrong = [
        replace(scenes[i], things=(replace(t, radius=radii[t.size], x=32, y=32),))
        for i in chosen
        for t in scenes[i].things
    ]
    assert _share_satisfied([*map(render, wrong)], [captions[i] for i in chosen]) == 0
    chosen = _stated(captions, "place")
    wrong = []
    for i in chosen:
        (thing,) = scenes[i].things
        spot = 32 if max(abs(thing.x - 32), abs(thing.y - 32)) >= 8 else 17
        wrong.append(replace(scenes[i], things=(replace(thing, x=spot, y=spot),)))
    assert _share_satisfied([*map(render, wrong)], [captions[i] for i in chosen]) == 0


def test_judge_rejects_muddy_colours(
    scenes: list[Scene], images: list[np.ndarray], captions: list[Caption]
) -> None:
    muddy = []
    for scene, image in zip(scenes[:150], images[:150], strict=True):
        ground = np.array(BACKGROUNDS[scene.background], dtype=float)
        mean = image.mean(-1, keepdims=True)
        grey = np.where(np.abs(image - ground).sum(-1, keepdims=True) > 0, mean, image)
        muddy.append((0.35 * image + 0.65 * grey).astype(np.uint8))
    assert _share_satisfied(muddy, captions[:150]) <= 0.01


def test_judge_rejects_what_is_no_scene(images: list[np.ndarray], captions: list[Caption]) -> None:
    rng = np.random.default_rng(15)
    some = captions[:100]
    blobs = [_blurred(image, 24) for image in images[:60]]
    assert _share_satisfied(blobs, captions[:60]) <= 0.01
    noise = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in some]
    assert _share_satisfied(noise, some) == 0
    blank = [np.full((64, 64, 3), BACKGROUNDS["white"], dtype=np.uint8) for _ in some]
    assert _share_satisfied(blank, some) == 0
    buried = [_noisy(image, rng, 70) for image in images[:100]]
    assert _share_satisfied(buried, some) <= 0.01
    shuffled = [
        image.reshape(8, 8, 8, 8, 3)[rng.permutation(8)][:, :, rng.permutation(8)]
        for image in images[:100]
    ]
    torn = [image.reshape(64, 64, 3) for image in shuffled]
    assert _share_satisfied(torn, some) <= 0.02
    halves = []
    for image in images[:100]:
        ground = image[0, 0].astype(int)
        painted = np.abs(image.astype(int) - ground).sum(-1) > 0
        painted[:, np.arange(64) // 3 % 2 == 0] = False
        halves.append(np.where(painted[..., None], image[..., ::-1] // 2 + 60, image))
    assert _share_satisfied(halves, some) <= 0.01


def test_a_verdict_tells_which_claims_fail() -> None:
    claims = (
        Claim("colour", "red", 0),
        Claim("shape", "circle", 0),
        Claim("colour", "blue", 1),
        Claim("shape", "square", 1),
        Claim("relation", "left", 0, 1),
        Claim("count", "2"),
        Claim("background", "white"),
    )
    caption = Caption("a red circle left of a blue square on white", claims)

    def failing(scene: Scene) -> set[str]:
        return {claim.kind for claim, holds in judge(render(scene), caption).claims if not holds}

    assert failing(Scene((RED, BLUE), "white")) == set()
    assert failing(Scene((BLUE, RED), "black")) == {"background"}
    assert failing(Scene((RED, replace(BLUE, y=50, x=15)), "white")) == {"relation"}
    assert failing(Scene((RED,), "white")) == {"count", "relation", "colour", "shape"}
    assert failing(Scene((), "white")) == {"count", "relation", "colour", "shape"}
    assert failing(Scene((replace(RED, colour="pink"), BLUE), "white")) == {"colour"}


def test_read_says_what_it_expects() -> None:
    with pytest.raises(ValueError, match=r"\(64, 64, 3\); got uint8 \(32, 32, 3\)"):
        read(np.zeros((32, 32, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="got float32"):
        read(np.zeros((64, 64, 3), dtype=np.float32))


def test_sizes_are_read_from_radii(scenes: list[Scene]) -> None:
    assert {thing.size for scene in scenes for thing in scene.things} == set(SIZES)
    for scene in scenes[:50]:
        found = read(render(scene)).things
        for thing in scene.things:
            assert min(abs(thing.radius - one.radius) for one in found) < 0.5


def test_what_is_not_wholly_read_is_told(scenes: list[Scene]) -> None:
    assert np.mean([whole(read(render(scene))) for scene in scenes]) > 0.99
    assert not whole(Scene((), "white"))
    assert not whole(Scene((RED,), "unknown"))
    assert not whole(Scene((replace(RED, shape="unknown"), BLUE), "white"))
    assert not whole(Scene((RED, BLUE, RED, BLUE), "white"))
    smeared = render(Scene((replace(RED, shape="star", radius=12.0),), "white")).copy()
    smeared[:, 15:] = smeared[:, 14:15]
    assert not whole(read(smeared))
