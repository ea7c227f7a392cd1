"""What model-info --data tells of images before anything is trained on them."""
