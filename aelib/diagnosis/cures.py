"""What to do: the name of each finding and its cure, in the order of evidence."""

SPLIT = "split at random first, then the same transforms for both; all pictures of one person in one part"
FOLLOW = "follow it layer by layer: is something cut off, averaged, overwritten or multiplied by zero?"
BOTH = "models.join(x, c) before the encoder, models.join(z, c) before the decoder, no layer that drops c"
COLLAPSE = (
    "check β and the likelihood's scale (σ = 1 finds all errors small: learn σ); warm up β, or free bits"
)

CURES = {
    # numbers
    "NaN in the data": "look for a division by zero in the transforms, and for unknown numbers that were "
    "not filled",
    "NaN in the weights": "start again, with a tenth of the learning rate or clip=1.0; what broke stays "
    "broken",
    "NaN in the outputs": "look for exp, log, a root or a division there: clamp what goes in",
    "NaN in the loss": "look for log(0), a division by zero, or a root at 0 in the objective: add 1e-6 "
    "inside",
    "images all alike": "look at the images; check how rows are chosen and files are read",
    "pixels outside the likelihood's range": "pixels in [0, 1]: divide uint8 by 255, once. Other numbers "
    "need a Gaussian likelihood, and a model that learns their scale: autoencoder(…, standardise=data)",
    # target against input
    "corruption that changes nothing": "a strength of zero, or a result thrown away? noisy(0.3) adds noise",
    "target is a changed input": "change x and target together, or x alone by what is to be undone",
    "inputs and targets of different images": "never shuffle one without the other: make both from one image",
    "noise in the target": "the target stays clean: replace(batch, x=noisy, target=batch.target)",
    "target not used": "compare the reconstruction with batch.target, not with batch.x",
    # conditions
    "condition unrelated to the images": "check that conditions and images are in one order, and that c "
    "varies",
    "condition on another scale": "standardise numbers; classes are one-hot, attributes −1 and 1: "
    "conditioned()",
    "condition holds the picture": "give as c what is known without a picture: the code has nothing left "
    "to say",
    # what passes
    "random in evaluation": "nn.Dropout ends with model.eval(), F.dropout is given training=False",
    "decoder sees more than the code": "nothing but z and c may pass: no skips, no indices of pooling",
    "neighbours change the result": "keep BatchNorm's running statistics, or use LayerNorm",
    "encoder does not see all of the picture": FOLLOW,
    "code numbers that are not written": FOLLOW,
    "code numbers that are not read": FOLLOW,
    "code does not reach the decoder": FOLLOW,
    "narrow layer in the encoder": FOLLOW,
    "narrow layer in the decoder": FOLLOW,
    "condition missing in the encoder": BOTH,
    "condition missing in the decoder": BOTH,
    "condition missing in the encoder and the decoder": BOTH,
    "pixels that the loss does not see": "look for an index, a mask, a detach() or a weight of zero",
    "outputs cannot reach the pixels": "no activation before the head: Bernoulli applies a sigmoid by itself",
    "posterior cannot become a code": "no activation before the head: means have both signs, and log σ is "
    "below 0",
    "units all alike": "start from random weights, not from zeros, a constant, or copies of one unit",
    "error missing in the loss, or with the wrong sign": "loss = error + KL: both go down",
    "parameters without gradient": "look for requires_grad, detach(), no_grad(), .data, "
    "sample() for rsample(), or layers never called",
    "parameters without an optimizer": "give the optimizer all of model.parameters()",
    "encoder trained on the KL alone": "both parts descend the whole loss, through z = q.rsample(), "
    "undetached",
    # the loss
    "loss mixes the images of a batch": "one number per image, (B,), from its own target and posterior: sum "
    "over dimensions 1 and up, never over 0; look at the shapes before each subtraction",
    "KL with the wrong sign": "loss = error + KL; the KL is never negative",
    "no KL in the loss": "use losses.elbo; without the KL nothing makes codes look like the prior",
    "hidden β": "sum both terms over an example, take the mean over the batch only; then β = 1 is the ELBO",
    "KL miscalculated": "per dimension ½ (m² + s² − 1 − log s²), s the standard deviation; or losses.kl_term",
    "code without noise": "decode a sample, z = q.rsample(), not the mean: else σ costs a KL and has no use",
    "penalty that sees no image": "a sparse code needs a penalty on activations, losses.sparse",
    # what is measured
    "validation images among the training images": SPLIT,
    "validation prepared differently": SPLIT,
    "validation scored on other images": "score the validation set itself, as train(…, valid=…) does, "
    "not a leftover variable of the training loop. (Were other weights loaded since?)",
    # training
    "stale batch statistics": "running statistics lag behind: train longer, raise the momentum, or use "
    "LayerNorm",
    "weight decay too strong": "weight_decay=0 first; then at most 0.1 with AdamW",
    "dropout too strong": "an autoencoder's code is narrow already: dropout=0 first, then at most 0.1",
    "penalty outweighs the error": "divide its weight by ten, until the error is little larger than without",
    "learning rate too large": "start again with a tenth of it; schedule={'lr': cosine()} lets it start "
    "small",
    "vanishing gradient": "fewer layers, GELU in place of sigmoid or tanh, normalisation, or nets.Residual",
    "dead units": "ReLUs that never fire or full sigmoids: start again with a smaller learning rate, or GELU",
    "hardly trained": "train it, or longer, or with a larger learning rate, as adam(model, lr=1e-3)",
    # its result
    "posterior collapse": COLLAPSE,
    "partial posterior collapse": COLLAPSE,
    "condition ignored": "the code says it all already: a smaller code, or a β that starts high and comes "
    "down",
    "codes far from the prior": "samples come from where no code is: check the KL, or set model.prior = "
    "priors.fit_prior(codes)",
    "overfitting": "more images, data.map(flipped) or noise, weight decay, or stop where valid/loss is "
    "smallest",
    "the same picture for every image": "try it on ten images, which it should learn by heart",
}
