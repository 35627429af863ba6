"""One Accelerate loop and the three tasks trained with it: face encoder, face decoder, Speech2Face."""
