"""The page in the browser (extra `web`): what a server says of any picture.

serving   the page behind a port, by its own host alone
page      what is where, in Gradio's terms
asking    a picture and a model become an answer, or a sentence
shown     of an answer, what a screen can show: a photo, a map of classes, their colours
panels    route and cost, and the model's card, as HTML
viewer/   the picture itself, in the browser: layers, slider, legend, what is under the pointer
"""
