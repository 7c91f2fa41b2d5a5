"""An extension for the tests alone: lets them look into the WebUI's process."""

import hashlib
import importlib.util
import sys
import threading
from pathlib import Path

import torch
from modules import script_callbacks, scripts, sd_models, shared

ROOT = Path(__file__).resolve().parents[4]
FORGE = importlib.util.find_spec("modules_forge") is not None


def networks_of(model):
    """The loaded checkpoint's networks, by a name for each."""
    if not FORGE:
        return {"": model}
    objects = getattr(model, "forge_objects_original", None)
    if objects is None:  # nothing was drawn yet
        return {}
    return {
        "unet.": objects.unet.model,
        "clip.": objects.clip.cond_stage_model,
        "vae.": objects.vae.first_stage_model,
    }


def attention():
    """Names of what computes attention."""
    if FORGE and importlib.util.find_spec("ldm_patched") is None:
        from backend.nn import unet

        return [unet.attention_function.__qualname__]
    if FORGE:
        from ldm_patched.ldm.modules import attention as patched

        return [patched.optimized_attention.__qualname__]
    import ldm.modules.attention
    import sgm.modules.attention

    forwards = [m.CrossAttention.forward for m in (ldm.modules.attention, sgm.modules.attention)]
    return [f"{forward.__module__}.{forward.__qualname__}" for forward in forwards]


def model_state():
    """Everything that a training could leave behind, in one dictionary."""
    import networks

    parts = networks_of(shared.sd_model)
    named = {
        f"{part}{name}": tensor
        for part, network in parts.items()
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    digest = hashlib.sha256()
    flags = hashlib.sha256()
    autograd = hashlib.sha256()
    for name, tensor in sorted(named.items()):
        digest.update(name.encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            if tensor.dim()
            else b"0"
        )
        flags.update(repr((name, tensor.dtype, tensor.device, tensor.grad is None)).encode())
        autograd.update(repr((name, tensor.requires_grad, tensor.is_inference())).encode())
    hooks = 0
    modules = [
        (f"{part}{name}", module)
        for part, network in parts.items()
        for name, module in network.named_modules()
    ]
    for name, module in modules:
        flags.update(f"{name} {type(module).__name__} {module.training}".encode())
        hooks += (
            len(module._forward_hooks)
            + len(module._forward_pre_hooks)
            + len(module._backward_hooks)
        )
    return {
        "weights": digest.hexdigest(),
        "flags": flags.hexdigest(),
        "autograd": autograd.hexdigest(),
        "hooks": hooks,
        "dtypes": sorted({str(tensor.dtype) for tensor in named.values()}),
        "attention": attention(),
        "loaded": [net.name for net in networks.loaded_networks],
        "grad_enabled": torch.is_grad_enabled(),
        "checkpoint": sd_models.select_checkpoint().filename,
        "onchange": str(shared.opts.data_labels["sd_model_checkpoint"].onchange),
    }


def axes(img2img=None):
    """Labels of the axes of the X/Y/Z script that is loaded now; those of one tab, as it has them.

    img2img: True or False for one tab, None for all.
    """
    for data in scripts.scripts_data:
        if data.script_class.__module__ == "xyz_grid.py":
            return [
                option.label
                for option in data.module.axis_options
                if img2img is None or getattr(option, "is_img2img", img2img) == img2img
            ]
    return []


kept = {}
ERRORS = {
    "memory": torch.cuda.OutOfMemoryError("CUDA out of memory (as the probe says)"),
    "exception": ValueError("the probe's"),
}


def break_step(kind, at):
    """The at-th prediction of the next training raises, once."""
    if FORGE:
        from lib_singlelora.hosts.forge.training_model import ForgeTrainingModel as Model
    else:
        from lib_singlelora.hosts.webui.training_model import WebUITrainingModel as Model

    predict = Model.predict
    left = [at]

    def broken(self, *args):
        left[0] -= 1
        if left[0] == 0:
            Model.predict = predict
            raise ERRORS[kind]
        return predict(self, *args)

    Model.predict = broken


def break_lora():
    """The next LoRA that is loaded from disk cannot be read, once."""
    import networks

    load = networks.load_network

    def broken(*args):
        networks.load_network = load
        raise ValueError("the probe's")

    networks.load_network = broken


def patches():
    """The state of the WebUI's approximations and memory savers."""
    from modules import devices

    model = shared.sd_model
    tiles = [
        m.__dict__["__webui_hypertile_params"].enabled
        for m in model.modules()
        if "__webui_hypertile_params" in m.__dict__
    ]
    return {
        "merged": getattr(model, "applied_token_merged_ratio", 0),
        "tiles": tiles,
        "lowvram": model.lowvram,
        "fp8": devices.fp8,
        "vae": str(getattr(model, "loaded_vae_file", None)),
        "dtypes": sorted({str(p.dtype) for p in model.parameters()}),
    }


def lent_networks(prompts, side, seed, path):
    """Writes what the lent networks compute, and how far that is from the program's own passes."""
    import safetensors.torch
    from modules.prompt_parser import SdConditioning

    generator = torch.Generator().manual_seed(seed)
    noisy = torch.randn((len(prompts), 4, side, side), generator=generator)
    timesteps = torch.randint(0, 1000, (len(prompts),), generator=generator)
    pixels = torch.rand((1, 3, 8 * side, 8 * side), generator=generator) * 2 - 1
    model = loaded_model()
    with torch.no_grad():
        own = model.get_learned_conditioning(
            SdConditioning(prompts, width=8 * side, height=8 * side)
        )
        if not isinstance(own, dict):
            own = {"crossattn": own}
        predicted = own_prediction(model, noisy, timesteps, own)
    with borrowed(model) as lent, torch.no_grad():
        ours = lent.encode_prompts(prompts, 1)
        prediction = lent.predict(noisy, timesteps, ours)
        latents = lent.encode_images(pixels)
        made = {
            "noisy": noisy,
            "timesteps": timesteps,
            "pixels": pixels,
            "context": ours.context,
            "prediction": prediction,
            "latents": latents,
            "pictures": lent.decode_latents(latents),
            "alphas_cumprod": lent.alphas_cumprod,
        }
        if ours.pooled is not None:
            made["pooled"] = ours.pooled
    safetensors.torch.save_file({k: v.contiguous() for k, v in made.items()}, path)
    return {
        "context": float((ours.context - own["crossattn"]).abs().max()),
        "prediction": float((prediction - predicted).abs().max()),
        "kind": lent.prediction,
    }


def loaded_model():
    """The chosen checkpoint; Forge and reForge load it when it is needed."""
    from lib_singlelora.extension.register import service

    service().host.require_checkpoint()
    return shared.sd_model


def borrowed(model):
    """Our lending of a checkpoint."""
    if not FORGE:
        from lib_singlelora.hosts.webui.training_model import borrowed_networks

        return borrowed_networks(model)
    from lib_singlelora.extension.register import service

    return service().host.open_for_training()


def own_prediction(model, noisy, timesteps, texts):
    """What the program's own U-Net says."""
    if FORGE:
        return model.forge_objects.unet.model.diffusion_model(
            noisy,
            timesteps.float(),
            context=texts["crossattn"],
            y=texts.get("vector"),
            transformer_options={},
        )
    given = texts if "vector" in texts else {"c_crossattn": [texts["crossattn"]]}
    return model.apply_model(noisy, timesteps, given)


def draw_together(given):
    """Pictures drawn by our host together and each alone, and how many of them in each pass.

    Gives the largest difference of each from itself alone, in levels of 255, and the sizes of the
    batches.
    """
    import numpy
    from modules import processing
    from PIL import Image

    from lib_singlelora.extension.register import service
    from lib_singlelora.host import ImageRequest
    from lib_singlelora.jobs import Job

    host = service().host
    options = {"width": 64, "height": 64, "steps": 3, "sampler": given["sampler"]}
    if given.get("inpaint"):
        options["image"] = Image.radial_gradient("L").convert("RGB")
        options["mask"] = Image.linear_gradient("L")
        options["fill"] = given["inpaint"]
    requests = [
        ImageRequest(prompt, (seed,), negative_prompt=negative, **options)
        for seed, (prompt, negative) in enumerate(given["prompts"], 5)
    ]
    sizes = []
    draw = processing.process_images

    def counted(p):
        sizes.append(p.batch_size)
        return draw(p)

    processing.process_images = counted
    try:
        together = host.generate_batch(requests, Job())
    finally:
        processing.process_images = draw
    alone = [host.generate(request, Job())[0] for request in requests]
    apart = [
        int(numpy.abs(numpy.int16(one.image) - numpy.int16(other.image)).max())
        for one, other in zip(together, alone, strict=True)
    ]
    same_text = [
        one.parameters == other.parameters for one, other in zip(together, alone, strict=True)
    ]
    different = len({picture.image.tobytes() for picture in together})
    return {"apart": apart, "sizes": sizes, "same_text": same_text, "different": different}


def swap():
    """Have Forge or reForge hold its networks as with little memory; how many modules it moves."""
    if importlib.util.find_spec("ldm_patched") is None:
        from backend import memory_management as management
    else:
        from ldm_patched.modules import model_management as management
    objects = loaded_model().forge_objects
    management.load_models_gpu([objects.unet, objects.clip.patcher])
    for entry in management.current_loaded_models:
        entry.model_unload()
        entry.model_load(100_000)  # bytes that are not swapped
    return sum(
        hasattr(module, mark)
        for network in networks_of(shared.sd_model).values()
        for module in network.modules()
        for mark in ("prev_parameters_manual_cast", "prev_ldm_patched_cast_weights")
    )


def unload():
    kept["model"], sd_models.model_data.sd_model = sd_models.model_data.sd_model, None


def load():
    sd_models.model_data.sd_model = kept.pop("model")


def callbacks():
    """How many callbacks of each kind come from our product."""
    return {
        kind: sum(
            "singlelora" in str(c.script) or "lib_singlelora" in str(c.callback) for c in found
        )
        for kind, found in script_callbacks.callback_map.items()
    }


def started(demo, app):
    @app.get("/probe/state")
    def state():
        return model_state()

    @app.get("/probe/page")
    def page():
        return {
            "axes": axes(),
            "txt2img axes": axes(False),
            "img2img axes": axes(True),
            "callbacks": callbacks(),
            "routes": [r.path for r in app.routes if r.path.startswith("/singlelora")],
            "threads": sorted(t.name for t in threading.enumerate() if "singlelora" in t.name),
        }

    @app.post("/probe/reload")
    def reload():
        shared.state.request_restart()

    @app.get("/probe/patches")
    def patched():
        return patches()

    @app.post("/probe/break/{kind}")
    def breaking(kind: str):
        break_lora() if kind == "lora" else break_step(kind, 3)

    @app.post("/probe/networks")
    def networks(given: dict):
        return lent_networks(given["prompts"], given["side"], given["seed"], given["path"])

    @app.post("/probe/batch")
    def batch(given: dict):
        return draw_together(given)

    @app.get("/probe/recording")
    def recording(hooked: bool = False):
        """Why a pass of the lent U-Net may not be recorded; hooked: with a hook of the probe's."""
        from lib_singlelora.hosts.webui.training_model import borrowed_networks

        with borrowed_networks(shared.sd_model) as lent:
            if not hooked:
                return lent.recording_obstacle
            unet = shared.sd_model.model.diffusion_model
            handle = unet.out.register_forward_hook(lambda *_: None)
            try:
                return lent.recording_obstacle
            finally:
                handle.remove()

    @app.get("/probe/samplers")
    def samplers():
        from lib_singlelora.hosts.webui_family.generate import sampler_names

        return sampler_names()

    @app.post("/probe/config")
    def config(given: dict):
        """The config that the WebUI takes for SDXL where none lies beside the file."""
        from modules import sd_models_config

        before, sd_models_config.config_sdxl = sd_models_config.config_sdxl, given["path"]
        return before

    @app.post("/probe/swap")
    def swapped():
        return {"swapped": swap()}

    @app.post("/probe/unload")
    def unloaded():
        unload()

    @app.post("/probe/load")
    def loaded():
        load()


def recognize_small_checkpoints():
    """The tests' checkpoints, which Forge would not know by their widths, before any is loaded."""
    sys.path.insert(0, str(ROOT))
    from lib_singlelora.extension.register import service

    folder = Path(shared.cmd_opts.ckpt_dir or sd_models.model_path)
    if (config := folder / "small.yaml").exists():
        service().host.add_family(config, folder / "clip")
    from tests.webui.known_sdxl import recognize_small_sdxl

    recognize_small_sdxl(Path(shared.cmd_opts.data_dir) / "cache" / "small sdxl")


if FORGE:
    recognize_small_checkpoints()
script_callbacks.on_app_started(started)
