"""STUB."""


def check_images(images, labels, classifier):
    pass


def check_classifier(classifier, images, labels, **_):
    pass
