"""What the simulated models write: answers made of the sentences of the prompt, in the shape it asks for."""
