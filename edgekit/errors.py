"""The one error class, and the page for each of its codes.

A code's first digit is its stage (1 load, 2 capture, 3 prune, 4 quantize, 5 lower, 6 verify, 7 profile, 8 bundle,
9 environment). The table below is what `edgekit explain CODE` shows, and what gives a code its exit status.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """What the process says to the build that called it."""

    DONE = 0
    FAILED = 1  # a budget or a comparison failed
    USAGE = 2  # usage or recipe error
    UNSUPPORTED = 3  # model or op not supported
    ENVIRONMENT = 4  # environment or device unavailable
    INCONCLUSIVE = 5
    REFUSED = 6  # refused for safety or integrity
    EXHAUSTED = 7  # out of memory or time
    BUG = 70
    INTERRUPTED = 130


class EdgekitError(Exception):
    """A problem that the user can act on.

    code: a key of PAGES; what: the thing by the user's name for it; why: the value seen beside the value allowed;
    fix: a key, an option or a command that exists. Only `cli/` prints it.
    """

    def __init__(self, code: str, what: str, why: str, fix: str) -> None:
        assert code in PAGES, f"{code} has no page"
        super().__init__(code, what, why, fix)
        self.code, self.what, self.why, self.fix = code, what, why, fix

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.what}\n  why: {self.why}\n  fix: {self.fix}"

    @property
    def exit(self) -> Exit:
        return PAGES[self.code].exit


@dataclass(frozen=True)
class Page:
    """What `edgekit explain` prints for a code: a title and a paragraph."""

    exit: Exit
    title: str
    text: str


PAGES: dict[str, Page] = {
    # ---- 1xx: load -------------------------------------------------------------------------------------------------
    "EK101": Page(Exit.USAGE, "file not found", "The path does not exist or is not a regular file."),
    "EK102": Page(
        Exit.USAGE,
        "not a model file",
        "What a file is is told by its content. PyTorch files (torch.save, TorchScript, torch.export, safetensors) and "
        "ONNX files are models; for others the message names what they are and what to give instead.",
    ),
    "EK103": Page(Exit.USAGE, "damaged model file", "The file starts like a model but is cut short or corrupt."),
    "EK104": Page(
        Exit.REFUSED,
        "file that can run code",
        "A pickle is a program: loading it can run anything. edgekit loads tensors without the rest, and refuses a "
        "file that needs more. Save the state dict, or add --trust-pickle if you trust where the file is from.",
    ),
    "EK105": Page(
        Exit.USAGE,
        "weights without a model",
        "A state dict holds tensors by name, not the code that uses them. Name what builds the module with "
        "--model path/to/file.py:factory or --model package.module:factory; it is called without arguments.",
    ),
    "EK106": Page(
        Exit.USAGE, "weights that do not fit", "Names or shapes of the weights differ from those of the module."
    ),
    "EK107": Page(
        Exit.USAGE,
        "factory not found",
        "--model names a file or module and, after a colon, a function or class in it that builds the module.",
    ),
    "EK108": Page(Exit.USAGE, "factory failed", "The user's own code raised an error while it built the module."),
    "EK109": Page(Exit.USAGE, "factory gave no module", "What --model names must return a torch.nn.Module."),
    "EK110": Page(Exit.REFUSED, "weights not finite", "A weight is NaN or infinite: no scale could stand for it."),
    "EK111": Page(
        Exit.USAGE, "--model not needed", "TorchScript, torch.export and ONNX files carry their structure themselves."
    ),
    "EK112": Page(
        Exit.REFUSED,
        "weights outside the model's folder",
        "An ONNX file may keep its weights in other files. edgekit reads them only from the model's folder, so that "
        "a model cannot reach other files of yours.",
    ),
    "EK113": Page(Exit.USAGE, "external weights missing", "A data file of an ONNX model is missing or too small."),
    "EK120": Page(
        Exit.USAGE,
        "not a kind of samples",
        "Samples come from an .npz or .npy file, a folder of .jpg, .png, .bmp or .webp images, or file.py:factory.",
    ),
    "EK121": Page(
        Exit.USAGE, "damaged samples file", "The file is cut short, or is not what its suffix says. Save it again."
    ),
    "EK122": Page(Exit.USAGE, "samples are not numbers", "Inputs and targets must be bool, integers or floats."),
    "EK123": Page(
        Exit.REFUSED,
        "samples hold Python objects",
        "An array of objects is a pickle, and unpickling can run any code. Save plain numbers.",
    ),
    "EK124": Page(
        Exit.REFUSED,
        "samples too large to be true",
        "A small file claims a size that would fill the memory or the disk. Such files are made to do harm, or by"
        " mistake; nothing was unpacked.",
    ),
    "EK125": Page(Exit.USAGE, "no samples", "There is nothing to calibrate or to judge on."),
    "EK126": Page(Exit.USAGE, "unreadable image", "An image is damaged, of another format, or not 8 bits per channel."),
    "EK127": Page(
        Exit.USAGE,
        "bad labels.csv",
        "It has the header file,label and one line per image. A label is a class index or a class name.",
    ),
    "EK128": Page(Exit.REFUSED, "labels.csv leaves its folder", "It may name only files in its folder or below."),
    "EK129": Page(
        Exit.USAGE,
        "counts disagree",
        "Inputs, labels and targets must have one row per sample. Where an array is called `inputs`, arrays with other"
        " names are left out; otherwise every array is an input.",
    ),
    "EK130": Page(Exit.USAGE, "samples not finite", "A sample holds NaN or an infinity, and would spoil a scale."),
    "EK131": Page(
        Exit.USAGE,
        "samples of several shapes",
        "All samples must have one shape. --resize N --crop N, or --resize HxW, brings images to one size.",
    ),
    "EK132": Page(
        Exit.USAGE,
        "preprocess does not fit",
        "--resize and --crop are for image files, --mean and --std need one number or one per channel, and"
        " --samples-layout says where the channels of arrays are.",
    ),
    "EK133": Page(
        Exit.USAGE,
        "not batches",
        "A factory of samples gives batches: arrays with the batch axis first, dicts of arrays by input name, or pairs"
        " (inputs, labels).",
    ),
    "EK134": Page(
        Exit.USAGE,
        "too few different samples",
        "Calibration and evaluation never share content. Too few different samples are there for both.",
    ),
    "EK135": Page(Exit.USAGE, "an input has no samples", "Samples of several inputs are named after the inputs."),
    "EK136": Page(
        Exit.EXHAUSTED,
        "no room for samples",
        "Compressed arrays and batches from code pass through a temporary file, so that memory stays small. TMPDIR says"
        " where.",
    ),
    "EK137": Page(Exit.USAGE, "bad labels", "Labels are one class index per sample, `classes` one name per class."),
    "EK138": Page(Exit.USAGE, "labels unclear", "Images lie both in class folders and beside them."),
    "EK150": Page(Exit.USAGE, "not a TOML file", "Recipes and devices are TOML. The message says the line."),
    "EK151": Page(Exit.USAGE, "unknown key", "Every key of a recipe or device is known, so that a slip is noticed."),
    "EK152": Page(
        Exit.USAGE, "wrong value", "A key of a recipe or device, or the option over it, has a value it cannot have."
    ),
    "EK153": Page(Exit.USAGE, "missing key", "A recipe or device lacks a key that has no default."),
    "EK154": Page(
        Exit.USAGE,
        "an option that says nothing",
        "A precision or a scheme leaves an option without an effect: there are no ranges to choose where activations"
        " stay in float, for one. The message names the two.",
    ),
    "EK160": Page(
        Exit.USAGE, "unknown device", "--device takes a name that edgekit carries, or the path of a device's TOML file."
    ),
    "EK189": Page(
        Exit.USAGE,
        "not a command line",
        "An unknown command or option, one without its value, or a value that is none of those that it takes. `--help`"
        " of the command lists what there is.",
    ),
    "EK190": Page(
        Exit.USAGE,
        "an option's value cannot be read",
        "An option was given a value that is not written as it must be. The message shows one that is; `--help` of the"
        " command says the unit and the default.",
    ),
    "EK191": Page(Exit.USAGE, "no such error code", "`edgekit explain` without a code lists every code there is."),
    "EK192": Page(
        Exit.UNSUPPORTED,
        "cannot say what a file is",
        "`edgekit inspect` reads ONNX, TFLite, PyTorch (.pt, .pt2, TorchScript), safetensors, .npz and .npy files. It"
        " tells them apart by their content, and never runs or unpickles anything.",
    ),
    "EK193": Page(
        Exit.UNSUPPORTED,
        "a file is damaged",
        "The beginning of the file says what it is, but the rest does not hold together: it is cut short, or an offset"
        " in it points outside of it. Copy or export it again.",
    ),
    "EK195": Page(
        Exit.USAGE,
        "output exists",
        "An output of this run exists already. Nothing is overwritten unless --overwrite says so.",
    ),
    "EK196": Page(Exit.USAGE, "output folder not writable", "The output folder cannot be made or written to."),
    "EK197": Page(Exit.USAGE, "unknown option", "The Python API takes the options of the command line, named alike."),
    # ---- 2xx: capture ----------------------------------------------------------------------------------------------
    "EK201": Page(
        Exit.USAGE,
        "input shapes not known",
        "They come from the file (.pt2, ONNX), the samples, or --input NAME=1x3x224x224 with the batch first.",
    ),
    "EK202": Page(
        Exit.USAGE, "inputs do not agree", "Samples, --input and the model differ in names or shapes of inputs."
    ),
    "EK203": Page(
        Exit.UNSUPPORTED,
        "torch cannot export the model",
        "torch.export follows the model's code with symbolic tensors; code that depends on their values stops it. The "
        "message names the line. A model that exports to ONNX elsewhere can be given as that file.",
    ),
    "EK204": Page(
        Exit.USAGE, "model cannot run on the inputs", "The model's own code raised an error when it was run."
    ),
    "EK205": Page(
        Exit.UNSUPPORTED, "model in training mode", "A traced or exported file keeps its mode; it must be eval."
    ),
    "EK206": Page(
        Exit.UNSUPPORTED, "input without a batch axis", "Every input must be a tensor whose first axis is the batch."
    ),
    "EK207": Page(
        Exit.UNSUPPORTED, "quantized already", "edgekit quantizes float models; scales of others are not reused."
    ),
    "EK208": Page(Exit.UNSUPPORTED, "custom op", "The ONNX file uses an op outside of the standard's own domain."),
    "EK209": Page(Exit.UNSUPPORTED, "invalid ONNX", "The file breaks a rule of ONNX: an op, a type or a shape."),
    "EK210": Page(Exit.UNSUPPORTED, "opset not read", "ONNX files of opset 1 to 28 are read."),
    "EK211": Page(Exit.UNSUPPORTED, "not a float32 model", "The model takes or holds another float type."),
    "EK213": Page(
        Exit.UNSUPPORTED,
        "shape known only at run time",
        "The result of an op has a size that depends on the data, or is a sequence: neither file can hold that. Or it"
        " depends on the batch in another way than so much per sample, as where samples are joined with each other.",
    ),
    "EK212": Page(Exit.UNSUPPORTED, "fixed batch", "The file takes only one batch size, other than 1."),
    # ---- 3xx: prune ------------------------------------------------------------------------------------------------
    "EK301": Page(
        Exit.UNSUPPORTED,
        "nothing can be pruned",
        "Channels are pruned in groups, and here every one must stay: those of the model's outputs, those that a layer"
        " norm or a softmax mixes, the states of recurrent layers, and what comes near an op that edgekit cannot prune"
        " through. The message names the reasons.",
    ),
    "EK302": Page(
        Exit.UNSUPPORTED,
        "a value would lose all its channels",
        "Of every value that carries channels at least one has to stay, also of each part of a split. Keep a channel"
        " of the group that makes it.",
    ),
    "EK303": Page(
        Exit.UNSUPPORTED,
        "pruning cannot reach the goal",
        "Every group was cut to its floor, and more is left than was asked for. The message says how much, and what"
        " stays and why.",
    ),
    "EK304": Page(
        Exit.UNSUPPORTED,
        "there are no norm factors to score by",
        "Scoring by the factors of batch norms needs them to be there, and simplifying folds them into the weights. The"
        " norms of the folded weights hold the factors: score by those.",
    ),
    "EK305": Page(
        Exit.ENVIRONMENT,
        "latency cannot be predicted",
        "A goal of latency is reached by measuring smaller and smaller models on this machine, or with --device by"
        " estimating them for that device. That takes parameters fitted to runs that were measured there (a guess from"
        " a peak says no more than MACs do), a format that it reads, ops that they know of, and a model of a size that"
        " they can speak of; edgekit profile FILE --device NAME says what can be said. Leave --device out to measure"
        " here, or give a goal of MACs.",
    ),
    "EK306": Page(
        Exit.USAGE,
        "nothing to score channels by",
        "Scoring by activations needs samples, scoring by Taylor needs them with labels or targets: what a channel is"
        " worth to the loss. Give them with --train or --calib, or score by the norms of the weights.",
    ),
    "EK307": Page(
        Exit.USAGE,
        "no goal to prune to",
        "edgekit prune cuts channels until at most a share of the unpruned model's MACs, parameters, file size or"
        " latency is left, or sets weights to zero. Say which, and how much: --macs 70%, or --sparsity 50%.",
    ),
    "EK308": Page(
        Exit.UNSUPPORTED,
        "no weight can be set to zero",
        "Sparsity is for the weights of convolutions, products of matrices and recurrent layers. Two of each four can"
        " be zero only where a layer sums over a multiple of four channels, not in a transposed or a recurrent layer.",
    ),
    # ---- 4xx: quantize ---------------------------------------------------------------------------------------------
    "EK411": Page(
        Exit.USAGE,
        "not a number in calibration",
        "A tensor took NaN or infinite values on the calibration samples, which no scale can hold. Most often the"
        " samples are not prepared as in training: check --scale, --mean and --std. Else the model itself divides by"
        " zero there.",
    ),
    "EK412": Page(
        Exit.USAGE,
        "nothing but zeros in calibration",
        "An input was zero in every calibration sample, so there is no range to choose its scale from.",
    ),
    "EK413": Page(
        Exit.USAGE,
        "no samples",
        "Scales are chosen from what the tensors' values are on representative inputs. Without any, floats are made up,"
        " but integers could be indices of anything. Give some with --data (parted into calibration and evaluation), or"
        " with --calib and --eval.",
    ),
    "EK414": Page(
        Exit.USAGE,
        "no such node",
        "--keep-float, or [quantize] keep_float in a recipe, names nodes that stay in float32. Their names are those of"
        " the simplified model, as report.json shows them.",
    ),
    "EK415": Page(
        Exit.UNSUPPORTED,
        "an op that opset 21 says otherwise",
        "int16 values need opset 21. A group normalization has a scale per channel there, one per group before; that is"
        " rewritten where the scale is a constant of the model.",
    ),
    "EK420": Page(
        Exit.USAGE,
        "nothing to measure",
        "--sensitivity says what each op loses in INT8 or on int16 activations. With --precision float16 or"
        " int8-dynamic activations are not rounded.",
    ),
    "EK421": Page(
        Exit.USAGE,
        "a budget that cannot be judged",
        "--max-drop is held against the drop of a metric on evaluation samples, for which these need labels or targets;"
        " and inputs that were made up to calibrate on say nothing of a drop.",
    ),
    "EK422": Page(
        Exit.USAGE,
        "nothing to learn",
        "--effort high rounds weights so that they make up for the rounding of activations on the calibration samples."
        " With --precision float16 or int8-dynamic activations are not rounded.",
    ),
    # ---- 5xx: lower ------------------------------------------------------------------------------------------------
    "EK501": Page(
        Exit.UNSUPPORTED,
        "no TFLite form for an op",
        "TFLite has no operator that computes this op, or not with these settings. The ONNX file is not affected: "
        "`--format onnx` writes it alone. Otherwise replace the op in the model; the message names the line.",
    ),
    "EK502": Page(
        Exit.UNSUPPORTED,
        "a shape that TFLite cannot hold",
        "A TFLite file has fixed shapes and batch 1. An axis other than the batch is open, or a value that must be a "
        "constant is computed. --input NAME=SHAPE fixes the sizes of an input; a size computed from values stays open: "
        "export the model with numbers there, or use --format onnx.",
    ),
    "EK504": Page(
        Exit.UNSUPPORTED, "too large for float16", "A weight lies beyond 65504, the largest number that float16 holds."
    ),
    "EK505": Page(
        Exit.UNSUPPORTED,
        "a batch that the model does not allow",
        "--batch asks for a TFLite file that takes several samples per run, but the model fixes its batch, or mixes its"
        " samples. Leave --batch out, or export the model with an open batch.",
    ),
    "EK506": Page(
        Exit.UNSUPPORTED,
        "TensorRT's rules broken",
        "With --scheme symmetric the INT8 ONNX file is held against TensorRT's rules for Q/DQ pairs, since it refuses a"
        " file that breaks one, or quietly runs in float. The message names the node and the rule.",
    ),
    "EK507": Page(
        Exit.UNSUPPORTED,
        "no torch.export form",
        "torch.export cannot follow the pruned model. The ONNX and TFLite files are not affected, and hold the same.",
    ),
    # ---- 6xx: verify -----------------------------------------------------------------------------------------------
    "EK601": Page(
        Exit.USAGE,
        "unknown metric",
        "The metrics are top1 and top5 (labels), psnr, mse, mae and cosine (targets), and sqnr, which compares with the"
        " float model and needs neither. Without --metric the samples choose.",
    ),
    "EK602": Page(
        Exit.USAGE,
        "the metric does not suit the samples",
        "top1 and top5 need labels; psnr, mse, mae and cosine need targets; sqnr needs neither.",
    ),
    "EK603": Page(
        Exit.USAGE,
        "labels for a model without classes",
        "top1 and top5 read the first output that has one row per sample and a column per class; the model has none.",
    ),
    "EK604": Page(
        Exit.USAGE,
        "a target without an output",
        "With several target arrays each must be named after the output that it belongs to.",
    ),
    "EK605": Page(Exit.USAGE, "targets of the wrong size", "A target must have as many elements as the output."),
    "EK606": Page(
        Exit.USAGE,
        "labels outside the model's classes",
        "A label is the index of a column of the model's output, counted from 0.",
    ),
    "EK607": Page(
        Exit.FAILED,
        "outputs that cannot be compared",
        "Two files, or a file and its model, can only be compared where their outputs have the same names and shapes. A"
        " file runs one sample at a time: an output in which a model mixes the samples of a batch differs there.",
    ),
    "EK608": Page(
        Exit.FAILED,
        "NaN in an output",
        "A file or the model itself computed NaN for a sample, and no metric can judge that.",
    ),
    "EK609": Page(Exit.USAGE, "nothing to verify on", "There is not one evaluation sample."),
    # ---- 7xx: profile ----------------------------------------------------------------------------------------------
    "EK701": Page(Exit.USAGE, "threads below 1", "A runtime needs at least one thread."),
    "EK702": Page(Exit.USAGE, "not a single sample", "Latency is measured with one sample at a time."),
    "EK710": Page(
        Exit.UNSUPPORTED,
        "a file whose kernels cannot be read",
        "An estimate needs every kernel with its shapes. The file is damaged, is neither TFLite nor ONNX, or leaves the"
        " size of a value open.",
    ),
    "EK711": Page(
        Exit.UNSUPPORTED,
        "an op without a cost",
        "An estimate is the sum of what each kernel costs. Of an op that edgekit does not know, a custom one above all,"
        " nothing can be said before it has run on the device.",
    ),
    "EK712": Page(
        Exit.UNSUPPORTED,
        "a precision that was not measured there",
        "A device's parameters hold for one runtime, one number of threads and one precision: INT8 is faster than float"
        " on one board and slower on another, so none is estimated from another.",
    ),
    "EK713": Page(
        Exit.UNSUPPORTED,
        "far from everything that was measured",
        "A model much smaller or much larger than those that a device was measured with spends its time elsewhere: in"
        " the call itself, or in memory. An interval made of the others would say nothing of it.",
    ),
    "EK714": Page(
        Exit.UNSUPPORTED,
        "ops that leave the accelerator",
        "An op that an accelerator does not take runs on the CPU beside it, and its time decides. Where that CPU was"
        " not measured, an estimate of the rest would mislead.",
    ),
    "EK715": Page(
        Exit.UNSUPPORTED,
        "a device without runs and without a peak",
        "Where no run was ever measured, a guess needs at least a peak from a specification, in the file's precision.",
    ),
    "EK761": Page(
        Exit.UNSUPPORTED,
        "too large to plan",
        "Where activations share memory is worked out tensor by tensor and op by op. The file holds so many tensors,"
        " and they live for so long, that this would take minutes: no net for a small device comes near.",
    ),
    "EK762": Page(
        Exit.UNSUPPORTED,
        "no file to plan the memory of",
        "Memory is planned from the ops and tensors of a TFLite file. The file is damaged, or something else.",
    ),
    "EK716": Page(
        Exit.UNSUPPORTED,
        "a file of another format than the device runs",
        "A device's file says which formats its runtimes take. An estimate for another would be of a file that cannot"
        " run there.",
    ),
    "EK717": Page(
        Exit.UNSUPPORTED,
        "a file that the device's compiler refuses",
        "Where an accelerator runs whole files only, one op that its compiler does not know is enough. The list of"
        " those that it knows stands in the device's file, under [accelerator], with the document that it is from; a"
        " newer compiler may know more.",
    ),
    "EK720": Page(
        Exit.USAGE,
        "not a device's address",
        "A device is local, ssh://[user@]host[:port] or adb://serial. Whatever else ssh needs (a key, a jump host,"
        " another name) stands in ~/.ssh/config, which edgekit uses as ssh does. --python names a program there, not a"
        " command.",
    ),
    "EK721": Page(
        Exit.ENVIRONMENT,
        "device not reached",
        "There was no connection, or it broke. edgekit calls the ssh or adb that is installed here: where these reach"
        " the device by themselves, edgekit does.",
    ),
    "EK722": Page(
        Exit.REFUSED,
        "device with another key",
        "The device's host key is unknown, or not the one that known_hosts holds. Either the device was set up anew,"
        " or somebody else answers in its place. edgekit never accepts a key by itself.",
    ),
    "EK723": Page(
        Exit.ENVIRONMENT,
        "device lets nobody in",
        "edgekit asks for no password, so that it can run in a build. Log in by key, or load the key into an agent"
        " first; over adb, allow debugging on the device's screen.",
    ),
    "EK724": Page(
        Exit.ENVIRONMENT,
        "no Python on the device",
        "Measuring needs Python 3.8 or newer there, numpy, and one of ai-edge-litert, tflite-runtime and onnxruntime."
        " --python names one that is not called python3, such as that of a virtual environment.",
    ),
    "EK725": Page(
        Exit.ENVIRONMENT,
        "no numpy on the device",
        "Every runtime takes its inputs as numpy arrays. `edgekit devices probe` prints the command that installs it.",
    ),
    "EK726": Page(
        Exit.ENVIRONMENT,
        "no runtime on the device",
        "A TFLite file needs ai-edge-litert or tflite-runtime there, an ONNX file onnxruntime. Which of them can work"
        " depends on the device's Python, processor and C library: `edgekit devices probe` prints the command.",
    ),
    "EK727": Page(
        Exit.ENVIRONMENT,
        "no room on the device",
        "The agent, the files and a sample are copied into a new folder under TMPDIR or /tmp there, and removed at"
        " the end.",
    ),
    "EK728": Page(
        Exit.ENVIRONMENT,
        "the agent died",
        "The program that measures on the device ended before it had answered, or the system there refused it"
        " something. The message shows its last words.",
    ),
    "EK729": Page(
        Exit.ENVIRONMENT,
        "an answer without sense",
        "What came from the device is not what the agent says. edgekit holds each value against a schema and believes"
        " nothing else. A login shell that prints a greeting is no reason; a broken connection can be.",
    ),
    "EK730": Page(
        Exit.EXHAUSTED,
        "the device took too long",
        "The agent gives a sign of life every two seconds; none came within --timeout, or a file did not answer in"
        " time.",
    ),
    "EK731": Page(
        Exit.UNSUPPORTED,
        "the device's runtime refuses the file",
        "The runtime there cannot load or run the file: an op that is newer than it, or a damaged file. What edgekit"
        " writes runs on ai-edge-litert 2.3, tflite-runtime 2.14 and onnxruntime 1.31; an older one may lack a kernel.",
    ),
    "EK732": Page(
        Exit.FAILED,
        "the device computes something else",
        "The same file on the same sample gives other outputs there than here, by more than rounding explains. Times"
        " of a wrong result mean nothing. A broken kernel of an old runtime, or bad memory, can be the cause.",
    ),
    "EK733": Page(
        Exit.EXHAUSTED,
        "out of memory on the device",
        "A runtime asked for more memory than there is, or the kernel there killed its process to get memory back.",
    ),
    "EK734": Page(
        Exit.ENVIRONMENT,
        "no program to reach a device with",
        "edgekit calls the ssh or the adb that is installed on this machine, and brings neither.",
    ),
    "EK735": Page(
        Exit.ENVIRONMENT,
        "a runtime crashed on the device",
        "Each file runs in a process of its own there, and this one's ended by a signal or by itself.",
    ),
    "EK736": Page(
        Exit.USAGE,
        "nothing says how large an input is",
        "The file leaves a size of an input open. Latency depends on it, so that --data must give a sample that has"
        " it.",
    ),
    "EK737": Page(
        Exit.USAGE,
        "not a soak",
        "--soak keeps one file running, for 10 seconds or more, to see where its latency settles when the device is"
        " warm. Several files would take turns, and be measured on a device that the others have heated.",
    ),
    "EK738": Page(
        Exit.USAGE,
        "an option of measuring beside an estimate",
        "--device estimates what a file will cost, from what was measured on such a device before. Nothing is run, so"
        " that samples, runs, threads and places to run at have no meaning there.",
    ),
    "EK739": Page(
        Exit.ENVIRONMENT,
        "nothing to fit on the device",
        "`edgekit devices fit` runs nets on the device, and no runtime works there: neither for TFLite nor for ONNX"
        " files. `edgekit devices probe` prints the commands that install one.",
    ),
    "EK740": Page(
        Exit.USAGE,
        "not a device's name",
        "A device's file is called after it. Names are of small letters, digits and '-', such as raspberry-pi-4.",
    ),
    "EK741": Page(
        Exit.UNSUPPORTED,
        "too few nets ran on the device",
        "A fit is made of nets that span what kernels cost. The runtime there refused or crashed on more than half of"
        " them, so that an estimate would rest on too little. An old runtime is the usual cause.",
    ),
    "EK742": Page(
        Exit.USAGE,
        "not a device's file",
        "--device takes the name of a device that edgekit carries, or the path of a file that ends in .toml.",
    ),
    "EK745": Page(
        Exit.UNSUPPORTED,
        "a file that cannot be cut into its ops",
        "For --per-op each op of a TFLite file is measured as a file of its own. An op that names a tensor, a buffer or"
        " a kind of op that the file does not hold can be no such file.",
    ),
    # ---- 9xx: environment ------------------------------------------------------------------------------------------
    "EK901": Page(
        Exit.ENVIRONMENT,
        "a runtime crashed",
        "Runtimes run in a process of their own. That process ended by a signal (a segmentation fault, an abort) or by"
        " itself. The message shows its last words. An old runtime is the usual cause: `edgekit doctor` says which"
        " versions are here.",
    ),
    "EK902": Page(
        Exit.BUG,
        "unexpected failure in a runtime's process",
        "Something that edgekit did not foresee went wrong beside a runtime. The message shows what.",
    ),
    "EK903": Page(
        Exit.EXHAUSTED,
        "out of memory",
        "A runtime asked for more memory than there is, or the kernel killed its process to get memory back.",
    ),
    "EK904": Page(Exit.EXHAUSTED, "out of time", "A runtime gave no answer within the time it was given."),
    "EK905": Page(
        Exit.UNSUPPORTED,
        "ONNX Runtime cannot load the file",
        "The file is damaged, needs a newer ONNX Runtime, or holds an op that ONNX Runtime has no kernel for.",
    ),
    "EK906": Page(
        Exit.UNSUPPORTED,
        "ONNX Runtime cannot run the file",
        "The file was loaded, but running it on the samples failed: most often an input's shape or type is not the one"
        " that the file was made for.",
    ),
    "EK907": Page(
        Exit.USAGE,
        "an input is missing",
        "The file has an input that no array of the samples is named after.",
    ),
    "EK908": Page(
        Exit.UNSUPPORTED,
        "the TFLite runtime cannot load the file",
        "The file is damaged, or holds an op or a version of an op that the installed runtime does not know.",
    ),
    "EK909": Page(
        Exit.UNSUPPORTED,
        "the TFLite runtime cannot run the file",
        "The file was loaded, but an input is missing or has another shape or type than the file was made for.",
    ),
    "EK910": Page(
        Exit.ENVIRONMENT,
        "no TFLite runtime",
        "TFLite files are run by ai-edge-litert, which edgekit brings, or by tflite-runtime 2.14, which many devices"
        " have. The latter needs Python 3.11 at most and NumPy 1, so it lives in an environment of its own.",
    ),
    "EK911": Page(
        Exit.UNSUPPORTED,
        "an op without gradients",
        "Learned rounding, fine-tuning and quantization-aware training run the model in PyTorch, op by op. The message"
        " names the op for which edgekit has no such form. Quantizing with default settings and converting need none.",
    ),
    "EK921": Page(
        Exit.FAILED,
        "training does not converge",
        "The loss became infinite or no number, which no further step can mend. Nothing was written. A smaller --lr is"
        " the usual way out; a sample with a wrong target can do it too.",
    ),
    "EK922": Page(
        Exit.USAGE,
        "nothing to resume",
        "--resume goes on from the checkpoint that an interrupted training leaves in the output folder. There is none.",
    ),
    "EK923": Page(
        Exit.USAGE,
        "another training's checkpoint",
        "A checkpoint belongs to one model, one set of samples and one set of options: only with all of them the same"
        " does a resumed run give the bytes of one that was never interrupted.",
    ),
    "EK924": Page(
        Exit.USAGE,
        "an interrupted training is kept",
        "The output folder holds the checkpoint of a training that did not end, and starting anew would lose it.",
    ),
    "EK925": Page(
        Exit.USAGE,
        "cannot train this model on these samples",
        "Labels must be classes that the model has an output for, targets must have the outputs' shapes, and some"
        " samples must be left to judge by that were not trained on. The model must take several samples at once, and"
        " have weights to train.",
    ),
    "EK931": Page(
        Exit.UNSUPPORTED,
        "TFLite Micro cannot load the file",
        "It has no kernel for one of the ops, the arena is too small, or the file is damaged. The message holds what it"
        " said itself.",
    ),
    "EK932": Page(
        Exit.UNSUPPORTED,
        "TFLite Micro cannot run the file",
        "The file was loaded, but an input has another shape or type than the file was made for, or there are too few.",
    ),
    "EK933": Page(
        Exit.ENVIRONMENT,
        "an unknown TFLite Micro",
        "What TFLite Micro says of its arena is text for people, and the installed version words it differently.",
    ),
    "EK941": Page(
        Exit.UNSUPPORTED,
        "Vela refuses the file",
        "Vela, which compiles TFLite files for Ethos-U, cannot read the file, or does not know the accelerator, the"
        " system configuration or the memory mode that the device's file names under [compiler]. The message holds what"
        " it said itself.",
    ),
    "EK942": Page(
        Exit.ENVIRONMENT,
        "Vela crashed",
        "Vela runs in a process of its own, which ended by a signal. A damaged file is the usual cause: Vela trusts"
        " what a file says of itself.",
    ),
    "EK943": Page(
        Exit.ENVIRONMENT,
        "an unknown Vela",
        "What Vela writes of a file's cost is a table whose columns the installed version calls otherwise.",
    ),
    "EK944": Page(
        Exit.UNSUPPORTED,
        "nothing for the accelerator",
        "An Ethos-U computes in INT8 and INT16. Vela leaves every other op to the CPU beside it, whose time its model"
        " does not hold: of a file in float it has nothing to say.",
    ),
    "EK961": Page(
        Exit.USAGE,
        "no report there",
        "`edgekit report` makes a page from the report.json that a run leaves in its output folder. There is none at"
        " that place, or it may not be read.",
    ),
    "EK962": Page(
        Exit.USAGE,
        "a broken report",
        "The file is no JSON, or holds something else than a run's report: the message names the key and what stands"
        " there. A report is written whole or not at all, so it was changed afterwards, or is another tool's.",
    ),
    "EK963": Page(
        Exit.USAGE,
        "a report of another schema",
        "The schema_version of a report says what its keys mean. It changes when a key changes its name or its meaning,"
        " and edgekit reads the one that it writes.",
    ),
    "EK970": Page(
        Exit.USAGE,
        "nothing is locked",
        "`edgekit build --locked` builds what the recipe's lock says and compares. The lock, recipe.lock beside"
        " recipe.toml, is written by `edgekit build`, and is made to be kept with the recipe.",
    ),
    "EK971": Page(
        Exit.USAGE,
        "not a lock",
        "The file beside the recipe that ends in .lock was written by another version of edgekit, or by hand.",
    ),
    "EK972": Page(
        Exit.REFUSED,
        "inputs are not as locked",
        "The recipe means something else than when it was locked, or a model, sample, device or Python file has another"
        " content. The message names each. Nothing was built.",
    ),
    "EK973": Page(
        Exit.REFUSED,
        "versions are not as locked",
        "edgekit, Python or a library that computes has another version than when the recipe was locked, and might give"
        " other bytes. Nothing was built.",
    ),
    "EK974": Page(
        Exit.REFUSED,
        "bytes are not as locked",
        "The recipe was built again from the same inputs by the same versions, and a file came out different. Code that"
        " trains or draws samples without a fixed seed is the usual cause. Nothing was replaced.",
    ),
    "EK975": Page(
        Exit.USAGE,
        "will not replace a changed file",
        "`edgekit build` replaces the files that it wrote itself. One of them is no longer as it was written, so that"
        " somebody may have meant something by it.",
    ),
    "EK976": Page(
        Exit.USAGE,
        "two builds at once",
        "A build of a recipe into a folder waits for nobody and is waited for by nobody: the second one is refused.",
    ),
    "EK990": Page(
        Exit.BUG,
        "a bug in edgekit",
        "Something happened that edgekit did not foresee. The message names a file with the details: please report it"
        " together with the command. It holds names of files and the command line, and nothing of your data.",
    ),
    "EK991": Page(
        Exit.ENVIRONMENT,
        "an optional part is missing",
        "Some commands need a library that edgekit does not bring by itself, to stay small. The message names the extra"
        " that holds it; `edgekit doctor` lists all of them.",
    ),
    "EK992": Page(
        Exit.INCONCLUSIVE,
        "nothing to hold against a limit",
        "A comparison was asked to keep a limit, but the samples did not give the number that the limit is about: the"
        " agreement of two classifiers needs outputs with classes, a drop needs labels, targets or a reference.",
    ),
}
