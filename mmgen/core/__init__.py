"""The nouns of P(X | Y): spec, condition, encoder, codec, model, conditional, card."""
