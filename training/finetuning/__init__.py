"""Fine-tuning any encoder for entities, relations and documents; the models at work; their data and metrics."""
