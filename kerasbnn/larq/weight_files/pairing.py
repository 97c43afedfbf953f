"""Which layer of a list in a file is which layer of a list in a model.

Layers are told apart by, in this order: the pairs that the user names; names that
somebody gave, where both sides have them; the class, and within a class the numbers
that Keras gave and the order of the model; at last the order alone. Where two of these
disagree, and both fit, nobody can know: that is an error.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kerasbnn.larq.weight_files.contents import StoredLayer
from kerasbnn.larq.weight_files.errors import Ambiguity, Mismatch, listed
from kerasbnn.larq.weight_files.model_layers import ModelLayer, automatic_name
from kerasbnn.larq.weight_files.names import class_base, split_number

Pairs = list[tuple[StoredLayer, ModelLayer]]
Check = Callable[[StoredLayer, ModelLayer], object]

_ADVICE = (
    "Name the layers of the model as in the file, or say which is which: "
    "load_weights(..., layer_names={'layer of the file': 'layer of the model'})."
)


@dataclass(frozen=True)
class _Named:
    """A layer of either side, and what its name tells.

    Attributes:
        item: The layer.
        order: Place among those of its class, or of all; None if the file has none.
        key: Parts of the name, those that Keras has made up without their numbers.
        numbers: The numbers that the key lacks.
        loose_key: All parts of the name without numbers.
        loose_numbers: The numbers that it lacks.
    """

    item: StoredLayer | ModelLayer
    order: int | None
    key: tuple[tuple[str, str], ...]
    numbers: tuple[int, ...] | None
    loose_key: tuple[str, ...]
    loose_numbers: tuple[int, ...] | None


def pair_layers(
    stored: list[StoredLayer],
    layers: list[ModelLayer],
    check: Check,
    layer_names: dict[str, str],
) -> Pairs:
    """Pair all layers of a list in a file with all of a list in a model.

    Args:
        stored: Layers of the file, all with weights.
        layers: Layers of the model, all with weights.
        check: Raises `Mismatch` where the weights of the two do not fit.
        layer_names: Paths in the file, each with the path in the model that it is for.

    Returns:
        Pairs, one for each layer.

    Raises:
        Mismatch: There is no such pairing.
        Ambiguity: There are two.
    """
    pairs, stored, layers = _given_pairs(stored, layers, layer_names)
    by_name = all(layer.names is not None for layer in stored)
    models = [_named_model(at, layer, by_name) for at, layer in enumerate(layers)]
    files = [_named_file(layer, models, by_name) for layer in stored]

    named, files, models = _take_groups(files, models, _by_given_name)
    pairs += _pairs(named)
    classes, files_left, models_left = _take_groups(files, models, _by_class)
    loose, files_left, models_left = _take_groups(files_left, models_left, _loosely)
    found = [pair for group in (*classes, *loose) for pair in _ordered(group, check)]
    if not files_left and not models_left:
        return pairs + found
    in_order = _in_order(files_left, models_left)
    if found:
        # Layers that no name tells apart may belong between those that have the
        # numbers of Keras: only if the order of all says the same is it sure.
        found += in_order
        whole = _in_order(files, models)
        return pairs + _the_one_that_fits(found, whole, check)
    return pairs + in_order


def _given_pairs(stored, layers, layer_names):
    pairs, left = [], list(layers)
    for layer in stored:
        wanted = layer_names.get(layer.path)
        if wanted is None:
            continue
        chosen = [found for found in left if found.path == wanted]
        if not chosen:
            raise Mismatch(
                f"layer_names pairs '{layer.path}' of the file with '{wanted}', which "
                "is no layer of the model that this can be. There are: "
                f"{listed([found.path for found in left], 12)}."
            )
        left.remove(chosen[0])
        pairs.append((layer, chosen[0]))
    return pairs, [f for f in stored if f.path not in layer_names], left


def _named_model(order, layer, by_name):
    last = layer.chain[-1]
    if not by_name:
        key = (("class", class_base(type(last).__name__)),)
        return _Named(layer, order, key, None, (key[0][1],), None)
    parts = [(owner.name, automatic_name(owner)) for owner in layer.chain]
    return _named(layer, order, parts)


def _named_file(layer, models, by_name):
    if not by_name:
        key = (("class", layer.base),)
        return _Named(layer, layer.number, key, None, (layer.base,), None)
    given = {text for model in models for kind, text in model.key if kind == "name"}
    known = {text for model in models for kind, text in model.key if kind == "class"}
    parts = []
    for place, name in enumerate(layer.names):
        text, number = split_number(name)
        base = class_base(text)
        is_last = place == len(layer.names) - 1
        if name in given:
            automatic = False
        elif is_last and layer.base is not None:
            automatic = base == layer.base
        else:
            automatic = base in known
        parts.append((name, (base, number) if automatic else None))
    return _named(layer, layer.position, parts)


def _named(layer, order, parts):
    key, numbers, loose_key, loose_numbers = [], [], [], []
    for name, automatic in parts:
        text, number = split_number(name)
        loose_key.append(class_base(text))
        loose_numbers.append(number)
        if automatic is None:
            key.append(("name", name))
        else:
            key.append(("class", automatic[0]))
            numbers.append(automatic[1])
    return _Named(
        layer,
        order,
        tuple(key),
        tuple(numbers),
        tuple(loose_key),
        tuple(loose_numbers),
    )


def _by_given_name(named):
    is_given = all(kind == "name" for kind, _ in named.key)
    return (named.key, named.numbers) if is_given else None


def _by_class(named):
    return named.key, named.numbers


def _loosely(named):
    return named.loose_key, named.loose_numbers


def _take_groups(files, models, describe):
    """Take out the groups of one key that have as many layers on both sides.

    Args:
        files: Layers of the file.
        models: Layers of the model.
        describe: Gives the key and the numbers of a layer; None to leave it.

    Returns:
        Groups, each two lists of numbers and layers; what is left of both sides.
    """
    sides = defaultdict(lambda: ([], []))
    for side, several in enumerate((files, models)):
        for named in several:
            described = describe(named)
            if described is not None:
                sides[described[0]][side].append((described[1], named))
    groups = [group for group in sides.values() if len(group[0]) == len(group[1])]
    taken = {id(named) for group in groups for side in group for _, named in side}
    left = [[n for n in side if id(n) not in taken] for side in (files, models)]
    return groups, *left


def _pairs(groups):
    return [
        (file.item, model.item)
        for group in groups
        for (_, file), (_, model) in zip(*group, strict=True)
    ]


def _ordered(group, check):
    """Pair the layers of a group by their numbers and by their order."""
    files, models = group
    if len(files) == 1:
        return _pairs([group])
    candidates = []
    numbers = [[number for number, _ in side] for side in group]
    if all(None not in side and len(set(side)) == len(side) for side in numbers):
        by_number = [sorted(side, key=lambda entry: entry[0]) for side in group]
        candidates.append(_pairs([by_number]))
    if all(named.order is not None for _, named in files):
        by_order = [sorted(side, key=lambda entry: entry[1].order) for side in group]
        candidates.append(_pairs([by_order]))
    if not candidates:
        raise Mismatch(
            "the file does not tell the order of "
            f"{listed([named.item.path for _, named in files])}. {_ADVICE}"
        )
    return _the_one_that_fits(candidates[0], candidates[-1], check)


def _in_order(files, models):
    paths = [[named.item.path for named in side] for side in (files, models)]
    if len(files) != len(models):
        raise Mismatch(
            f"of the layers with weights, {listed(paths[0])} of the file and "
            f"{listed(paths[1])} of the model have no counterpart. Build the model as "
            f"the one that was saved. {_ADVICE}"
        )
    if any(named.item.position is None for named in files):
        raise Mismatch(
            f"the file does not tell which of its layers {listed(paths[0])} is which "
            f"of {listed(paths[1])} in the model. A file of the whole model does, as "
            f"model.save('model.h5') writes it. {_ADVICE}"
        )
    files = sorted(files, key=lambda named: named.item.position)
    models = sorted(models, key=lambda named: named.order)
    return [(f.item, m.item) for f, m in zip(files, models, strict=True)]


def _the_one_that_fits(first, second, check):
    """Choose between two pairings of the same layers."""
    if _by_path(first) == _by_path(second):
        return first
    mismatches = [_mismatch(pairs, check) for pairs in (first, second)]
    if not any(mismatches):
        other = dict(_by_path(second))
        differing = [(f, m) for f, m in _by_path(first) if other[f] != m]
        file, model = differing[0]
        raise Ambiguity(
            f"'{file}' of the file may be '{model}' of the model by its name, and "
            f"'{other[file]}' by the order of the layers, and both fit. {_ADVICE}"
        )
    return first if not mismatches[0] or mismatches[1] else second


def _by_path(pairs: Iterable):
    return sorted((stored.path, layer.path) for stored, layer in pairs)


def _mismatch(pairs, check):
    for stored, layer in pairs:
        try:
            check(stored, layer)
        except Ambiguity:
            raise
        except Mismatch as error:
            return error
    return None
