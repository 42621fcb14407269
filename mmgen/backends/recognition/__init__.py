"""What a checkpoint that others made is, from its configuration alone: no weights, no code of it.

A folder or Hub id says in one small file which class wrote it. A committed table, made from what
the installed diffusers and transformers say of themselves (`python -m mmgen.backends.recognition`),
says which P(X | Y) that class is.
"""

from mmgen.backends.recognition.configuration import is_foreign
from mmgen.backends.recognition.recognise import recognise
from mmgen.backends.recognition.recognised import Recognised

__all__ = ["Recognised", "is_foreign", "recognise"]
