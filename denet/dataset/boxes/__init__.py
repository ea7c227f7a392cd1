"""Images with boxes: one file per layout of annotations, and what makes a dataset of each."""
