"""The losses, the network and the CRF in PyTorch, as a user would write them who knows it well: vectorised over classes,
images and pixels, no loop, no wait for the device. Background is the last class. Everything here is checked against the
golden vectors of `tests/fixtures` (`python benches/peer/reach.py --check`)."""
