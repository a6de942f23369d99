"""Data sets, each decoded once into a Store: real faces (celeba), digits (mnist) and drawn faces (toyfaces)."""
