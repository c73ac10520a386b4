"""CycleGAN (Zhu et al. 2017): images of one class made from training images of another."""
