"""The embedded world: drawings whose truth is known, and the makers of the checkpoint and the
tagger that learn them.

    python -m tools.world.sheet      a contact sheet of drawings
    python -m tools.world.examples   the pictures in examples/
    python -m tools.world.train      VAE, text encoder, U-Net, tagger; resumable, time-boxed
    python -m tools.world.export     lib_singlelora/embedded/
    python -m tools.world.measure    what the checkpoint obeys
"""
