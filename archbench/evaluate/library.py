"""Which network of timm or transformers is this one, and in which files do they look for it?

The settings are read from the spec. Whether they are right is not argued but tried: the library
loads what was written, strictly, and its outputs are compared with ours.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.data.image_preparation import Preparation
from archbench.errors import (
    FOREIGN_FAULTS,
    NETWORK_FAULTS,
    UsageError,
    fault_text,
    library_absence,
)
from archbench.measure.backend import quiet
from archbench.models import ArchSpec, Network, published_names
from archbench.models.catalogue import published
from archbench.models.python_module import WEIGHTS, python_module
from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import FileForm, layout_for
from archbench.models.weights.skeleton import differing_fields
from archbench.models.weights.translation import their_tensors
from archbench.models.weights.weight_file import write_safetensors
from archbench.registry import guest

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class InLibrary:
    """A network as files of a library, or as a Python module of its own.

    The ``kind`` is what builds it: a name of timm's, a class of transformers', or ``Model`` of the
    module beside the weights, with the ``reason`` why the library has no such network.
    """

    library: str  # timm, transformers, or torch for a module of its own
    kind: str
    settings: Settings
    run: Callable[[Tensor], Tensor]  # as loaded from the files
    reason: str = ""
    note: str = ""  # what else is to be known of it


def write_timm(network: Network, folder: Path, *, preparation: Preparation) -> InLibrary:
    """Files that ``timm.create_model`` loads, by ``checkpoint_path`` or as ``local-dir:FOLDER``.

    Raises:
        MissingError: timm is not installed.
    """
    timm = _library("timm", extra="timm")
    spec = network.spec
    found = _timm_network(spec)
    if isinstance(found, str):
        return write_module(network, folder, reason=found)
    name, settings = found
    try:
        tensors = _named(network, dialect="timm")
        built = timm.create_model(name, num_classes=spec.num_classes, **settings)
        built.load_state_dict(tensors, strict=True)
        _check_same(network, _classifying(built))
    except (UsageError, *NETWORK_FAULTS) as error:
        return write_module(network, folder, reason=f"timm's {name}: {_first_line(error)}")
    height, width = spec.resolution
    config = {
        "architecture": name,
        "num_classes": spec.num_classes,
        "num_features": built.num_features,
        "model_args": settings,
        **({"label_names": list(preparation.class_names)} if preparation.class_names else {}),
        "pretrained_cfg": {
            "num_classes": spec.num_classes,
            "input_size": [3, height, width],
            "fixed_input_size": "img_size" in settings,
            "interpolation": "bicubic",
            "crop_pct": preparation.resolution / preparation.resize,
            "crop_mode": "center",
            "mean": list(preparation.mean),
            "std": list(preparation.std),
        },
    }
    write_safetensors(folder / WEIGHTS, tensors, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return InLibrary(library="timm", kind=name, settings=settings, run=load_timm(folder))


def load_timm(folder: Path) -> Callable[[Tensor], Tensor]:
    """What classifies with the files that ``write_timm`` wrote."""
    timm = _library("timm", extra="timm")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = timm.create_model(
        config["architecture"],
        num_classes=config["num_classes"],
        checkpoint_path=str(folder / WEIGHTS),
        **config["model_args"],
    )
    return _classifying(network)


def write_transformers(network: Network, folder: Path, *, preparation: Preparation) -> InLibrary:
    """Files that ``from_pretrained`` of transformers loads, with labels and preprocessor.

    transformers' CvT has GELU where the released code has QuickGELU; files of such a network are
    written all the same, as the published ones are, and its outputs differ.

    Raises:
        MissingError: transformers is not installed.
    """
    transformers = _library("transformers", extra="transformers")
    spec = network.spec
    found = _transformers_network(spec)
    if isinstance(found, str):
        return write_module(network, folder, reason=found)
    family, kind, settings = found
    names = _labels(spec, preparation)
    try:
        tensors = _named(network, dialect="transformers")
        with quiet(), guest(place=kind, passes=FOREIGN_FAULTS):
            config = getattr(transformers, f"{family}Config")(
                **settings,
                architectures=[kind],
                id2label=dict(enumerate(names)),
                label2id={name: number for number, name in enumerate(names)},
            )
            config.save_pretrained(folder)
            write_safetensors(folder / WEIGHTS, tensors, metadata={"format": "pt"})
            run = load_transformers(folder)
        if not _has_quick_gelu(spec):
            _check_same(network, run)
    except (UsageError, *NETWORK_FAULTS) as error:
        for file in folder.iterdir():
            file.unlink()
        return write_module(network, folder, reason=f"transformers' {kind}: {_first_line(error)}")
    document = json.dumps(_preprocessor(preparation), indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(document, encoding="utf-8")
    note = (
        "transformers' CvT computes GELU where these weights were trained with QuickGELU, so that "
        "its answers differ"
        if _has_quick_gelu(spec)
        else ""
    )
    return InLibrary(library="transformers", kind=kind, settings=settings, run=run, note=note)


def load_transformers(folder: Path) -> Callable[[Tensor], Tensor]:
    """What classifies with the files that ``write_transformers`` wrote.

    Raises:
        RuntimeError: A tensor is missing, left over or of another shape.
    """
    transformers = _library("transformers", extra="transformers")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = getattr(transformers, config["architectures"][0])
    with quiet():
        network, told = kind.from_pretrained(str(folder), output_loading_info=True)
    wrong = {name: found for name, found in told.items() if found}
    if wrong:
        raise RuntimeError(f"it does not load strictly: {wrong}")
    return _classifying(network, has_logits=True)


def write_module(
    network: Network, folder: Path, *, preparation: Preparation | None = None, reason: str = ""
) -> InLibrary:
    """A Python module and its weights, which need torch alone and compute the same bits."""
    text, tensors = python_module(network)
    (folder / "model.py").write_text(text, encoding="utf-8")
    write_safetensors(folder / WEIGHTS, tensors, metadata={"format": "pt"})
    run = load_module(folder)
    return InLibrary(library="torch", kind="Model", settings={}, run=run, reason=reason)


def load_module(folder: Path) -> Callable[[Tensor], Tensor]:
    """What classifies with the files that ``write_module`` wrote; their code is run."""
    names: dict[str, Any] = {"__file__": str(folder / "model.py"), "__name__": "model"}
    code = compile((folder / "model.py").read_text(encoding="utf-8"), folder / "model.py", "exec")
    exec(code, names)  # noqa: S102  it is what we wrote
    return _classifying(names["Model"]())


def _classifying(network: nn.Module, *, has_logits: bool = False) -> Callable[[Tensor], Tensor]:
    network.eval()

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            output = network(images)
        logits: Tensor = output.logits if has_logits else output
        return logits

    return run


def _library(name: str, *, extra: str) -> Any:
    if missing := library_absence(name, extra=extra):
        raise missing
    return importlib.import_module(name)


def _named(network: Network, *, dialect: str) -> dict[str, Tensor]:
    layout = layout_for(dialect, network.spec)
    form = FileForm(offsets=False)
    return their_tensors(network.state_dict(), name=layout, form=form, spec=network.spec)


def _timm_network(spec: ArchSpec) -> tuple[str, dict[str, Any]] | str:
    """A name of timm's and its arguments beside the classes; or why there is none."""
    resolved = spec.resolved()
    size = {"img_size": list(spec.resolution)}
    kinds = {block.kind for stage in resolved.stages for block in stage.blocks}
    known = _published(spec)
    is_distilled = spec.head.num_classifiers == 2
    if kinds == {"levit"}:
        shape = {} if known else _levit_shape(resolved)
        more = {} if is_distilled else {"distilled": False}
        return known or "levit_128s", {**size, **shape, **more}
    if kinds == {"vit"} and len(resolved.stages) == 1:
        embed: Any = resolved.stages[0].embed
        block: Any = resolved.stages[0].blocks[0]
        shape = {
            "patch_size": embed.kernel,
            "embed_dim": resolved.stages[0].dim,
            "depth": len(resolved.stages[0].blocks),
            "num_heads": block.heads[0],
            "mlp_ratio": block.mlp_ratio,
        }
        name = f"deit_tiny{'_distilled' if is_distilled else ''}_patch16_224"
        if known:
            plain = known.removesuffix("_384")
            name, shape = f"{plain}_patch16_{384 if plain != known else 224}", {}
        return name, {**size, **shape}
    if known and kinds <= {"inverted_bottleneck", "mobile_mqa"}:
        return known, {}
    if kinds == {"bottleneck"}:
        return "resnet50", {} if known else {"layers": [1 + len(s.blocks) for s in resolved.stages]}
    return f"timm has no network of {' and '.join(sorted(kinds))} blocks"


def _transformers_network(spec: ArchSpec) -> tuple[str, str, dict[str, Any]] | str:
    """Family, class and settings in transformers; or why there are none."""
    resolved = spec.resolved()
    kinds = {block.kind for stage in resolved.stages for block in stage.blocks}
    has_teacher = spec.head.num_classifiers == 2
    more = "WithTeacher" if has_teacher else ""
    if kinds == {"levit"}:
        shape = _levit_shape(resolved)
        settings = {
            "image_size": spec.resolution.height,
            "hidden_sizes": shape["embed_dim"],
            "num_attention_heads": shape["num_heads"],
            "depths": shape["depth"],
            "key_dim": [shape["key_dim"]] * len(resolved.stages),
            "attention_ratio": shape["attn_ratio"],
            "mlp_ratio": shape["mlp_ratio"],
        }
        return "Levit", f"LevitForImageClassification{more}", settings
    if kinds == {"cvt"}:
        return "Cvt", "CvtForImageClassification", _cvt_settings(resolved)
    if kinds == {"vit"} and len(resolved.stages) == 1:
        stage = resolved.stages[0]
        embed: Any = stage.embed
        block: Any = stage.blocks[0]
        settings = {
            "image_size": spec.resolution.height,
            "patch_size": embed.kernel,
            "hidden_size": stage.dim,
            "num_hidden_layers": len(stage.blocks),
            "num_attention_heads": block.heads[0],
            "intermediate_size": round(block.mlp_ratio * stage.dim),
            "layer_norm_eps": block.epsilon,
            "qkv_bias": block.bias,
            "hidden_act": block.activation,
        }
        family = "DeiT" if has_teacher else "ViT"
        return family, f"{family}ForImageClassification{more}", settings
    return f"transformers has no network of {' and '.join(sorted(kinds))} blocks"


def _levit_shape(spec: ResolvedSpec) -> dict[str, Any]:
    """The arguments of timm's LeViT, of which one width of keys serves all stages."""
    blocks: list[Any] = [stage.blocks[0] for stage in spec.stages]
    return {
        "embed_dim": [stage.dim for stage in spec.stages],
        "depth": [len(stage.blocks) for stage in spec.stages],
        "key_dim": blocks[0].key_dim,
        "num_heads": [block.num_heads for block in blocks],
        "attn_ratio": [block.attention_ratio for block in blocks],
        "mlp_ratio": [block.mlp_ratio for block in blocks],
    }


def _cvt_settings(spec: ResolvedSpec) -> dict[str, Any]:
    embeds: list[Any] = [stage.embed for stage in spec.stages]
    blocks: list[Any] = [stage.blocks[0] for stage in spec.stages]
    methods = {"depthwise": "dw_bn", "average": "avg", "linear": "linear"}
    kernels = [block.kernel or 3 for block in blocks]
    return {
        "patch_sizes": [embed.kernel for embed in embeds],
        "patch_stride": [embed.stride for embed in embeds],
        "patch_padding": [embed.padding for embed in embeds],
        "embed_dim": [stage.dim for stage in spec.stages],
        "depth": [len(stage.blocks) for stage in spec.stages],
        "num_heads": [block.heads[0] for block in blocks],
        "mlp_ratio": [float(block.mlp_ratio) for block in blocks],
        "qkv_bias": [block.bias for block in blocks],
        "cls_token": [stage.class_tokens > 0 for stage in spec.stages],
        "qkv_projection_method": [methods[block.projection] for block in blocks],
        "kernel_qkv": kernels,
        "padding_q": [kernel // 2 for kernel in kernels],
        "padding_kv": [kernel // 2 for kernel in kernels],
        "stride_q": [1] * len(blocks),
        "stride_kv": [block.kv_stride or 1 for block in blocks],
        "drop_path_rate": [0.0] * len(blocks),
    }


def _published(spec: ArchSpec) -> str:
    """The published network that computes the same with the same weights; empty where none does."""
    return next(
        (name for name in published_names() if not differing_fields(published(name), spec)), ""
    )


def _has_quick_gelu(spec: ArchSpec) -> bool:
    return any(
        getattr(block, "activation", "") == "quick_gelu"
        for stage in spec.resolved().stages
        for block in stage.blocks
    )


def _check_same(network: Network, run: Callable[[Tensor], Tensor]) -> None:
    """Refuses what computes something else.

    Raises:
        RuntimeError: Its outputs differ by more than rounding.
    """
    images = torch.randn(2, 3, *network.resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.eval()(images)
    difference = float((run(images) - expected).abs().max() / expected.abs().max())
    if not difference <= 1e-4:
        raise RuntimeError(f"its outputs differ by {difference:.1e} of the largest")


def _labels(spec: ArchSpec, preparation: Preparation) -> list[str]:
    """A name for each class, all different, as transformers finds classes by them."""
    names = list(preparation.class_names) or [f"class {n}" for n in range(spec.num_classes)]
    return [f"{name} ({n})" if names.count(name) > 1 else name for n, name in enumerate(names)]


def _preprocessor(preparation: Preparation) -> dict[str, Any]:
    """The middle of the picture, by the processor that takes it as the data room does."""
    side = preparation.resolution
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": preparation.resize},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preparation.mean),
        "image_std": list(preparation.std),
    }


def _first_line(error: BaseException) -> str:
    return error.message if isinstance(error, UsageError) else fault_text(error)
