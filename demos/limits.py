"""What the demo takes: numbers that the page, the model behind it and the texts share."""

SHORTEST_S, LONGEST_S = 3.0, 10.0  # of what the model hears of a clip
MOST_CLIPS = 5  # of one speaker, averaged
MOST_CLIP_S = 300.0
MOST_SAMPLES = 4
SMALL_FACE_PX = 40
FEWEST_FACES, MOST_FACES = 2, 10  # of a question
SEEDS = 2**31  # of questions
MOST_FILE_MB = 20
MOST_REQUEST_MB = 110  # several files at once
MOST_BODY_MB = 1  # of a request without files
MOST_WAITING = 128  # requests in the queue
MOST_CONNECTIONS = 400
MOST_SESSIONS = 500  # whose questions and tallies are kept
