"""What a user sees: figures, TensorBoard, the progress bar, tables and exported models."""
