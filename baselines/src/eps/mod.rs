//! EPS: the saliency loss.
