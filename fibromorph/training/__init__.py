"""Training of the networks; nothing is imported here, so that the command line may ask how."""

USAGE = "fibromorph train [network|locator] --config YAML [--ckpt_path last] [--KEY VALUE ...]"
