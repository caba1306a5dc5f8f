# One image for the API, the workers and the mail catcher, including the spam model. The target
# `flower` adds Flower.
ARG BASE=python:3.12-slim-bookworm
ARG NODE=node:22-bookworm-slim

FROM ${BASE} AS base
ENV LANG=C.UTF-8 \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# The locked packages. Wheels only: no stage needs a compiler, and no package runs code here.
FROM base AS packages
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/venv \
    && /usr/local/bin/pip --python /opt/venv/bin/python install \
        --only-binary=:all: --require-hashes -r requirements.lock

# The spam model, trained on a corpus that is verified by its hash.
FROM packages AS model
COPY ml/ ml/
RUN python -m ml.train_spam_detector --out /opt/models/sms

# The GraphiQL page, bundled from packages that are verified by their hashes. Node is not in the image.
FROM ${NODE} AS graphiql
WORKDIR /page
COPY graphql_api/pages/graphiql/page/ ./
RUN npm ci --ignore-scripts --no-audit --no-fund && npm run build

FROM base AS app
RUN groupadd --system --gid 10001 celeryql \
    && useradd --system --uid 10001 --gid celeryql --home-dir /tmp --shell /usr/sbin/nologin celeryql \
    && install -d -o celeryql -g celeryql /mail
COPY --from=packages /opt/venv /opt/venv
COPY --from=model /opt/models /opt/models
COPY --from=graphiql /page/dist /opt/graphiql
COPY ml/ ml/
COPY celeryql/ celeryql/
COPY tasks/ tasks/
COPY graphql_api/ graphql_api/
# The file system is read-only at run time, so compile the bytecode here.
RUN python -m compileall -q .
ENV HOME=/tmp MODEL_DIR=/opt/models GRAPHIQL_DIR=/opt/graphiql PYTHONPATH=/app
USER celeryql
STOPSIGNAL SIGTERM
CMD ["python", "-m", "graphql_api.server", "--host", "0.0.0.0", "--port", "8000"]

FROM app AS flower
USER root
COPY requirements-flower.lock ./
RUN /usr/local/bin/pip --python /opt/venv/bin/python install \
        --only-binary=:all: --require-hashes -r requirements-flower.lock
USER celeryql
# Not `-A tasks`: Flower detects the broker by the scheme of its URL and does not know our transport.
CMD ["celery", "flower", "--address=0.0.0.0", "--port=5555"]

# The default target.
FROM app
