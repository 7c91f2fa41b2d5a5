"""Figures about pictures: traits kept, copies, damage, leak.  Pure functions of pixels and tags."""
