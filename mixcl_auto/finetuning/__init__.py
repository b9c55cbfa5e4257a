"""Fine-tuning a segmenter on a share of a target's labels, from an encoder or from scratch."""
