"""Face pictures as data: reading, detection, landmarks, measures, features of frozen encoders."""
