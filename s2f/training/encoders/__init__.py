"""train_face.py, train_voice.py and train_landmarks.py."""
