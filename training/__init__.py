"""What train.py is made of: recipes, tokenizer, masking, pretraining, fine-tuning, evaluation."""
