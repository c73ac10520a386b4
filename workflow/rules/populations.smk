"""Models of other populations: the run's features and its one split serve them too."""


use rule train as population_train with:
    input:
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        views=f"{RUN}/features/{{backbone}}/manifest/views.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        model=update(
            f"{POPULATION}/models/{{backbone}}/{{augmentation}}/{{fold}}.keras"
        ),
        history=update(
            f"{POPULATION}/history/{{backbone}}/{{augmentation}}/{{fold}}.csv"
        ),
        predictions=update(
            f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/{{fold}}.csv"
        ),
    log:
        f"{RUN}/logs/population_train/{{population}}_{{backbone}}_{{augmentation}}_{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_train/{{population}}_{{backbone}}_{{augmentation}}_{{fold}}.tsv"
    message:
        "Training {wildcards.backbone} {wildcards.augmentation} {wildcards.fold} on {wildcards.population}"


use rule ensemble as population_ensemble with:
    input:
        predictions=expand(
            f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/{{model}}.csv",
            model=FOLDS,
            allow_missing=True,
        ),
        split=SPLIT,
    output:
        update(f"{POPULATION}/predictions/{{backbone}}/{{augmentation}}/ensemble.csv"),
    log:
        f"{RUN}/logs/population_ensemble/{{population}}_{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_ensemble/{{population}}_{{backbone}}_{{augmentation}}.tsv"
    message:
        "Averaging the folds of {wildcards.backbone} {wildcards.augmentation} on {wildcards.population}"


use rule score as population_score with:
    input:
        models=expand(
            f"{POPULATION}/models/{{backbone}}/{{augmentation}}/{{model}}.keras",
            model=FOLDS,
            allow_missing=True,
        ),
        backbone=f"{RUN}/backbones/{{backbone}}.keras",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{POPULATION}/predictions/external/{{set}}/{{backbone}}/{{augmentation}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/population_score/{{population}}_{{set}}_{{backbone}}_{{augmentation}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_score/{{population}}_{{set}}_{{backbone}}_{{augmentation}}.tsv"
    message:
        "Scoring {wildcards.backbone} {wildcards.augmentation} of {wildcards.population} on {wildcards.set}"


use rule logistic as population_logistic with:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        models=update(f"{POPULATION}/models/{{backbone}}/logistic.joblib"),
        folds=[
            update(f"{POPULATION}/predictions/{{backbone}}/logistic/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(f"{POPULATION}/predictions/{{backbone}}/logistic/ensemble.csv"),
        choice=update(f"{POPULATION}/history/{{backbone}}/logistic.csv"),
    log:
        f"{RUN}/logs/population_logistic/{{population}}_{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_logistic/{{population}}_{{backbone}}.tsv"
    message:
        "Logistic regression on the features of {wildcards.backbone} of {wildcards.population}"


use rule support_vector as population_support_vector with:
    input:
        clean=f"{RUN}/features/{{backbone}}/manifest/clean.npy",
        rows=f"{RUN}/features/{{backbone}}/manifest/rows.csv",
        manifest=f"{RUN}/data/manifest.csv",
        split=SPLIT,
    output:
        models=update(f"{POPULATION}/models/{{backbone}}/support_vector.joblib"),
        folds=[
            update(f"{POPULATION}/predictions/{{backbone}}/support_vector/{model}.csv")
            for model in FOLDS
        ],
        ensemble=update(
            f"{POPULATION}/predictions/{{backbone}}/support_vector/ensemble.csv"
        ),
    log:
        f"{RUN}/logs/population_support_vector/{{population}}_{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_support_vector/{{population}}_{{backbone}}.tsv"
    message:
        "Support vector machine on the features of {wildcards.backbone} of {wildcards.population}"


use rule score_baseline as population_score_baseline with:
    input:
        models=f"{POPULATION}/models/{{backbone}}/{{baseline}}.joblib",
        features=f"{RUN}/features/{{backbone}}/external/{{set}}.npy",
        table=f"{RUN}/data/external/{{set}}.csv",
    output:
        update(
            expand(
                f"{POPULATION}/predictions/external/{{set}}/{{backbone}}/{{baseline}}/{{model}}.csv",
                model=FOLDS + ENSEMBLE,
                allow_missing=True,
            )
        ),
    log:
        f"{RUN}/logs/population_score_baseline/{{population}}_{{set}}_{{backbone}}_{{baseline}}.log",
    benchmark:
        f"{RUN}/benchmarks/population_score_baseline/{{population}}_{{set}}_{{backbone}}_{{baseline}}.tsv"
    message:
        "Scoring {wildcards.backbone} {wildcards.baseline} of {wildcards.population} on {wildcards.set}"
