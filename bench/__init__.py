"""The benchmark: this project beside OpenSSH (and others), in turns in one run; ``python -m bench --help``."""
