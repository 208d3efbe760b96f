"""What a cell may be: operations, edges and genotypes. Nothing here knows Keras."""
