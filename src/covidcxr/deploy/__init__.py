"""What is done with trained models: prediction on new images, export to other formats."""
